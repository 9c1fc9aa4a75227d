"""What travels: the two ends of a connection and the task that dispatch sees."""

from __future__ import annotations

from typing import NamedTuple


class Peer(NamedTuple):
    """Both ends of one connection, as text. Ports are decimal; a unix socket has its path as host and no port.
    ``subject``: of the certificate that the client showed (RFC 4514), empty where it showed none."""

    client_host: str
    client_port: str
    server_host: str
    server_port: str
    subject: str = ""


NOBODY = Peer("-", "-", "", "")  # a client that is not known


class Task(NamedTuple):
    """The unit of dispatch: a new connection, or one ready request on a connection.

    ``data`` is the request's first bytes (64 KiB at the most) under half-sync/half-reactive, and empty where the unit
    is a whole connection.
    """

    peer: Peer
    data: bytes = b""
