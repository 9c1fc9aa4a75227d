"""Addresses of sockets: bound, and asked whether somebody holds them."""

from __future__ import annotations

import errno
import socket


def bind_tcp(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """A bound socket that does not listen yet. Port 0: any free one. Raises OSError."""
    # Bytes, for a text is taken for a name of the domain system, whose codec is slow to import.
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
    """Whether a unix socket's file was left behind, or is not there. Raises FileNotFoundError, as stat(2) does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        # Refused: nobody has it open. A full queue says EAGAIN, a socket of another kind EPROTOTYPE.
        return probe.connect_ex(path) in (errno.ECONNREFUSED, errno.ENOENT)
