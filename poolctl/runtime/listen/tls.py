"""The settings of a TLS listener (certificates, client certificates, versions, ALPN), and the subject of a client's
certificate (RFC 8446, RFC 5246)."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from poolctl.errors import TlsError

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
SUBJECT_CHARACTERS = 1024  # characters of the subject of a client's certificate; a longer one is refused
# RFC 4514, section 3, and other names in common use
SHORT_ATTRIBUTES = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}


class CertificateFiles(NamedTuple):
    """A certificate chain and its key, as PEM files. ``key`` is empty if the key is in the certificate's file."""

    certificate: str
    key: str = ""
    password: str = ""


def server_context(
    identity: CertificateFiles,
    names: Mapping[str, CertificateFiles],
    *,
    minimum: str = "1.2",
    ciphers: str = "",
    authority: str = "",
    required: bool = True,
    protocols: Iterable[str] = (),
) -> ssl.SSLContext:
    """Return the context of one listener.

    ``names``: further certificates by the name that a client asks for (RFC 6066, 3); a leading ``*.`` matches one
    label. ``authority``: a file with the certificates that sign those of clients; empty: clients need no certificate.
    ``required``: whether a client without a certificate is refused. ``protocols``: for ALPN (RFC 7301), in order of
    preference.

    Raises TlsError with the option at fault.
    """
    context = _context(identity, minimum, ciphers)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if authority:
        try:
            context.load_verify_locations(authority)
        except (OSError, ssl.SSLError) as error:
            fix = "name a PEM file, with lines BEGIN CERTIFICATE"
            raise TlsError(f"tls: {authority} has no certificates of an authority; {fix}", "authority") from error
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    others = {name.lower(): _context(other, minimum, ciphers, name) for name, other in names.items()}
    if others:
        context.sni_callback = lambda tls, name, _: _choose(tls, name, others)
    return context


def _context(identity: CertificateFiles, minimum: str, ciphers: str, name: str = "") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[minimum]
    # Requests mark their own end, so a client that leaves without close_notify truncates nothing.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_IGNORE_UNEXPECTED_EOF
    if ciphers:
        try:
            context.set_ciphers(ciphers)
        except ssl.SSLError as error:
            message = f'tls: no cipher is called "{ciphers}"; choose from `openssl ciphers -v`'
            raise TlsError(message, "ciphers") from error
    certificate, key, password = identity
    try:
        # A callable: without a password OpenSSL would otherwise ask for one on the terminal.
        context.load_cert_chain(certificate, key or None, lambda: password)
    except (OSError, ssl.SSLError) as error:
        from poolctl.runtime.listen.tls_files import refusal  # needed only for errors

        raise refusal(identity, error, name) from error
    return context


def _choose(tls: ssl.SSLSocket | ssl.SSLObject, name: str | None, others: Mapping[str, ssl.SSLContext]) -> None:
    """Switch to the certificate that the client asks for; if none has that name, keep the listener's own."""
    if name:
        name = name.lower()
        chosen = others.get(name) or others.get("*." + name.partition(".")[2])
        if chosen is not None:
            tls.context = chosen


def subject(certificate: Mapping[str, Any] | None) -> str:
    """Return the subject of a client's certificate, given as by ``SSLObject.getpeercert``, in the form of RFC 4514.

    Empty without a certificate. Raises ValueError if it is longer than SUBJECT: truncated it could be another's name.
    """
    parts = [
        "+".join(f"{SHORT_ATTRIBUTES.get(kind, kind)}={_escaped(value)}" for kind, value in relative)
        for relative in (certificate or {}).get("subject", ())
    ]
    whole = ",".join(reversed(parts))
    if len(whole) > SUBJECT_CHARACTERS:
        raise ValueError(f"the subject of its certificate is longer than {SUBJECT_CHARACTERS} characters")
    return whole


def _escaped(value: str) -> str:
    """Return a value with its special characters escaped (RFC 4514, 2.4)."""
    text = "".join(
        f"\\{char}" if char in ',+"\\<>;' else f"\\{ord(char):02x}" if ord(char) < 32 else char for char in value
    )
    if text[:1] in ("#", " "):
        text = "\\" + text
    return text[:-1] + "\\ " if text[-1:] == " " and text[-2:-1] != "\\" else text
