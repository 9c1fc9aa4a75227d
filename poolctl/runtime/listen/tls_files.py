"""Explains why OpenSSL refused a certificate and its key, by reading the files: OpenSSL says "PEM lib" for most
mistakes."""

from __future__ import annotations

import ssl

from poolctl.errors import TlsError

CERTIFICATE, KEY, ENCRYPTED = b"CERTIFICATE-----", b"PRIVATE KEY-----", b"ENCRYPTED"  # RFC 7468; RFC 1421, 4.6.1.1
PEM_FILE_BYTES = 1 << 20  # bytes read of a file


def refusal(identity: tuple[str, str, str], error: Exception, name: str) -> TlsError:
    """Return the error to raise: the fault, its fix, and the option at fault. ``identity``: files of certificate and
    key, and the password; ``name``: the host name of a further certificate."""
    option, message = _fault(identity, error)
    return TlsError(f"tls: {message}", option, name)


def _fault(identity: tuple[str, str, str], error: Exception) -> tuple[str, str]:
    certificate, key, password = identity
    of_key = "key" if key else "certificate"
    key = key or certificate
    first, second = _read(certificate), _read(key)
    if not isinstance(error, ssl.SSLError) or first is None or second is None:
        return of_key, f"cannot use {_both(certificate, key)}: {getattr(error, 'strerror', None) or error}"
    known: str | None = error.reason
    if known == "KEY_VALUES_MISMATCH":
        return of_key, (
            f"cannot use {_both(certificate, key)}: the key does not belong to the certificate; give the key of the"
            " first certificate in the file"
        )
    if CERTIFICATE not in first and KEY in first and CERTIFICATE in second:
        return "certificate", f"{certificate} has the key, and {key} the certificate; swap the two"
    if CERTIFICATE not in first:
        return "certificate", (f"{certificate} has no certificate; name a PEM file, with a line BEGIN CERTIFICATE")
    if KEY not in second and of_key == "certificate":
        return of_key, f"{key} has a certificate but no private key; name the key's file too (key: ...)"
    if KEY not in second:
        return of_key, f"{key} has no private key; name a PEM file, with a line BEGIN ... PRIVATE KEY"
    if ENCRYPTED in second and not password:
        return of_key, (
            f"the key in {key} is encrypted, and no password is given; add password_file, a file with the password in"
            " its first line"
        )
    if ENCRYPTED in second:
        return "password", f"the password does not open the key in {key}; try it with: openssl pkey -noout -in {key}"
    if known:  # OpenSSL knows the reason, such as a key too short for its security level
        reason = known.lower().replace("_", " ")
        return of_key, f"cannot use {_both(certificate, key)}: {reason}; create new ones"
    option, file = (of_key, key) if _has_certificates(certificate) else ("certificate", certificate)
    return option, f"{file} is damaged: the part between BEGIN and END cannot be read; create it again"


def _has_certificates(file: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except (OSError, ssl.SSLError):
        return False
    return True


def _both(certificate: str, key: str) -> str:
    return certificate if key == certificate else f"{certificate} and {key}"


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read(PEM_FILE_BYTES)
    except OSError:
        return None
