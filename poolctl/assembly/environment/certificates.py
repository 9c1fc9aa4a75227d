"""Whether certificates, keys and authorities of TLS can be used, and for how long."""

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
SOON = 14 * DAY  # a certificate that is renewed by a program has been by then
STEPS = 10  # of a handshake between two ends of one process
FILES = ("certificate", "key", "password_file")


def check(judgement: Judgement) -> Iterator[Diagnostic]:
    """One finding for each address whose files cannot be used, or only for some days more."""
    topology, tree = judgement.topology, judgement.tree
    assert topology is not None
    if topology.directory and not (os.path.isdir(topology.directory) and os.access(topology.directory, os.X_OK)):
        return  # paths begin there, and that it cannot be entered is said of itself
    for index, address in enumerate(topology.listen):
        if address.tls is None:
            continue
        base: Path = ("listen", index, "tls") if tree.has(("listen", index)) else ("listen", "tls")
        missing = list(_unreadable(judgement, address.tls, base))
        yield from missing
        if not missing:
            yield from _usable(judgement, address.tls, base)


def _unreadable(judgement: Judgement, tls: Tls, base: Path) -> Iterator[Diagnostic]:
    """Files that are not there, each at its key."""
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
            fix = "name a file that the user who starts poolctl may read; paths count from the topology's folder"
            yield Diagnostic("PC424", message, judgement.tree.at_value(path), fix)


def _open(path: str) -> None:
    """Raises OSError. What is no file is not opened: a named pipe would wait for somebody to write."""
    if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("it is not a file")
    with open(path, "rb"):
        return


def _usable(judgement: Judgement, tls: Tls, base: Path) -> Iterator[Diagnostic]:
    """What OpenSSL says of them: a key of another certificate, a wrong password, no PEM, ciphers that are none."""
    assert judgement.topology is not None
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)  # by its descriptor: its name may be gone
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
    """Seconds until the certificate expires, negative when it has; None when that cannot be found out.

    The standard library tells the dates of a certificate only to a client that trusts it, so a client is one: it takes
    the server's own certificate for an authority (X509_V_FLAG_PARTIAL_CHAIN) and talks with it in memory.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags = ssl.VerifyFlags(ssl.VERIFY_X509_PARTIAL_CHAIN)
    try:
        client.load_verify_locations(certificate)
        told = _handshake(server, client)
    except ssl.SSLCertVerificationError as error:
        return -1.0 if "expired" in error.verify_message else None
    except ssl.SSLError:
        return None  # the server wants a certificate of the client, or speaks nothing that this end does
    ends = told.get("notAfter") if told else None
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
