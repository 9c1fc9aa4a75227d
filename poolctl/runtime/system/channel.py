"""Channels between the processes of a generation: messages that arrive whole, in order, and to one reader each."""

from __future__ import annotations

import _socket
import socket
import struct
from socket import socket as Socket

# SEQPACKET tells the end of file; where a system has none between unix sockets (macOS), datagrams keep the rest.
KIND = int(getattr(socket, "SOCK_SEQPACKET", socket.SOCK_DGRAM))
LEVEL, RIGHTS = int(socket.SOL_SOCKET), int(socket.SCM_RIGHTS)
DONTWAIT = int(socket.MSG_DONTWAIT)  # an int, for enums are slow to convert
_FD = struct.Struct("i")
ROOM = socket.CMSG_SPACE(2 * _FD.size)  # for two descriptors


def channel() -> tuple[Socket, Socket]:
    """(writer, reader): one way, though nothing but good manners keeps it so."""
    try:
        return pair(KIND)
    except OSError:
        return pair(int(socket.SOCK_DGRAM))


def pair(kind: int) -> tuple[Socket, Socket]:
    """Two connected unix sockets that block, whatever an app has made of the socket module and its default timeout."""
    one, other = _socket.socketpair(socket.AF_UNIX, kind)
    made = Socket(socket.AF_UNIX, kind, 0, one.detach()), Socket(socket.AF_UNIX, kind, 0, other.detach())
    for end in made:
        end.setblocking(True)
    return made


def descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    """The descriptors that came along with a message."""
    return [
        fd
        for level, kind, data in ancillary
        if level == LEVEL and kind == RIGHTS
        for (fd,) in _FD.iter_unpack(data[: len(data) - len(data) % _FD.size])
    ]
