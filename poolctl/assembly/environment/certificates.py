"""Checks whether the certificates, keys and authorities for TLS can be used, and for how long."""

from __future__ import annotations

import os
import ssl
import stat
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from poolctl.assembly.doors import tls_context
from poolctl.assembly.environment.files import inside
from poolctl.config.diagnostic import Diagnostic
from poolctl.errors import TlsError

if TYPE_CHECKING:
    from poolctl.assembly.judging.judge import Judgement
    from poolctl.config.tls import Certificate, Tls
    from poolctl.config.tree import Path

DAY = 86400
SOON = 14 * DAY  # programs that renew certificates have done it by then
STEPS = 10  # of an in-memory handshake
FILES = ("certificate", "key", "password_file")


def check(judgement: Judgement) -> Iterator[Diagnostic]:
    """Yields findings for addresses whose files cannot be used, or expire soon."""
    topology, tree = judgement.topology, judgement.tree
    assert topology is not None
    if topology.directory and not (os.path.isdir(topology.directory) and os.access(topology.directory, os.X_OK)):
        return  # paths are relative to it, and PC421 reports that it cannot be entered
    for index, address in enumerate(topology.listen):
        if address.tls is None:
            continue
        base: Path = ("listen", index, "tls") if tree.has(("listen", index)) else ("listen", "tls")
        missing = list(_unreadable(judgement, address.tls, base))
        yield from missing
        if not missing:
            yield from _usable(judgement, address.tls, base)


def _unreadable(judgement: Judgement, tls: Tls, base: Path) -> Iterator[Diagnostic]:
    """Yields a finding for each file that cannot be read, at its key."""
    assert judgement.topology is not None
    places: list[tuple[Path, str]] = []
    holders: list[tuple[Path, Certificate]] = [(base, tls)]
    holders += [((*base, "names", name), each) for name, each in tls.names.items()]
    for path, holder in holders:
        places += [((*path, key), getattr(holder, key)) for key in FILES if getattr(holder, key)]
    if tls.clients:
        places.append(((*base, "clients", "authority"), tls.clients.authority))
    for path, file in places:
        try:
            _open(inside(judgement.topology, file))
        except OSError as error:
            message = f"tls: cannot read {file}: {error.strerror or error}"
            fix = "name a file that the user who starts poolctl may read; paths are relative to the topology's folder"
            yield Diagnostic("PC424", message, judgement.tree.at_value(path), fix)


def _open(path: str) -> None:
    """Raises OSError when a file cannot be read. Only regular files are opened: a pipe would wait for a writer."""
    if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("it is not a regular file")
    with open(path, "rb"):
        return


def _usable(judgement: Judgement, tls: Tls, base: Path) -> Iterator[Diagnostic]:
    """Yields OpenSSL's finding: the key of another certificate, a wrong password, no PEM, unknown ciphers."""
    assert judgement.topology is not None
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)  # a descriptor, because its name may be gone
    try:
        if judgement.topology.directory:
            os.chdir(judgement.topology.directory)
        context = tls_context(tls, ())
        remaining = _remaining(context, tls.certificate)
    except TlsError as error:
        message, _, fix = str(error).partition("; ")
        yield Diagnostic("PC425", message, judgement.tree.at_value(_at_fault(error, tls, base)), fix)
        return
    finally:
        os.fchdir(here)
        os.close(here)
    if remaining is not None and remaining < SOON:
        when = "has expired" if remaining < 0 else f"expires in {int(remaining // DAY)} days"
        place = judgement.tree.at_value((*base, "certificate"))
        message = f"tls: the certificate {tls.certificate} {when}"
        yield Diagnostic("PC426", message, place, "renew it", severity="warning")


def _at_fault(error: TlsError, tls: Tls, base: Path) -> Path:
    if error.option == "authority":
        return (*base, "clients", "authority")
    path: Path = (*base, "names", error.name) if error.name else base
    given = tls.names[error.name] if error.name else tls
    option = "password_file" if error.option == "password" and given.password_file else error.option
    return (*path, option)


def _remaining(server: ssl.SSLContext, certificate: str) -> float | None:
    """Seconds until the certificate expires, negative if it has; None when that cannot be determined.

    The standard library gives the dates of a certificate only to a client that trusts it. So a client trusts the
    server's own certificate (X509_V_FLAG_PARTIAL_CHAIN), and performs a handshake with the server in memory.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags = ssl.VerifyFlags(ssl.VERIFY_X509_PARTIAL_CHAIN)
    try:
        client.load_verify_locations(certificate)
        fields = _handshake(server, client)
    except ssl.SSLCertVerificationError as error:
        return -1.0 if "expired" in error.verify_message else None
    except ssl.SSLError:
        return None  # the server requires a client certificate, or has no version in common with this client
    ends = fields.get("notAfter") if fields else None
    return ssl.cert_time_to_seconds(str(ends)) - time.time() if ends else None


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> Mapping[str, object] | None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_side=False),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for step in range(STEPS):
        try:
            ends[step % 2].do_handshake()
        except ssl.SSLWantReadError:
            continue
        if step % 2 == 0:
            return ends[0].getpeercert()
    return None
