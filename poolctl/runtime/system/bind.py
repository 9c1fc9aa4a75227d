"""Socket addresses: binding them, and finding out whether they are in use."""

from __future__ import annotations

import errno
import socket


def bind_tcp(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """Return a bound socket that does not listen yet. Port 0 means any free port. Raises OSError."""
    # Bytes, because text would be encoded as a domain name with the idna codec, which is slow to import.
    name = host.encode("ascii") if host.isascii() else host
    found = socket.getaddrinfo(
        name or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
    )
    family, kind, proto, _, where = found[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(where)
    except BaseException:
        sock.close()
        raise
    return sock


def held_by_nobody(path: str) -> bool:
    """Whether no process listens on this path: its socket was left behind, or does not exist."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        # Refused: no process has it open. A full queue gives EAGAIN, a socket of another type EPROTOTYPE.
        return probe.connect_ex(path) in (errno.ECONNREFUSED, errno.ENOENT)
