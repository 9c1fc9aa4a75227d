"""Channels between the processes of a generation: messages arrive whole, in order, and at one reader each."""

from __future__ import annotations

import _socket
import socket
import struct
from socket import socket as Socket
from typing import Final

# SEQPACKET has an end of file; where unix sockets do not support it (macOS), datagrams have all the rest.
CHANNEL_TYPE: Final = int(getattr(socket, "SOCK_SEQPACKET", socket.SOCK_DGRAM))
LEVEL: Final = int(socket.SOL_SOCKET)
RIGHTS: Final = int(socket.SCM_RIGHTS)
DONTWAIT: Final = int(socket.MSG_DONTWAIT)  # an int, because enums are slow to convert
_FD: Final = struct.Struct("i")
CONTROL_BYTES: Final = socket.CMSG_SPACE(2 * _FD.size)  # for two descriptors


def channel() -> tuple[Socket, Socket]:
    """Return (writer, reader). Used in one direction only, though the sockets would carry both."""
    try:
        return pair(CHANNEL_TYPE)
    except OSError:
        return pair(int(socket.SOCK_DGRAM))


def pair(kind: int) -> tuple[Socket, Socket]:
    """Return two connected, blocking unix sockets, even if the app patched the socket module or its default timeout."""
    one, other = _socket.socketpair(socket.AF_UNIX, kind)
    made = Socket(socket.AF_UNIX, kind, 0, one.detach()), Socket(socket.AF_UNIX, kind, 0, other.detach())
    for end in made:
        end.setblocking(True)
    return made


def descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    """Return the descriptors that came with a message."""
    if len(ancillary) == 1:  # the usual case first
        level, kind, data = ancillary[0]
        if level == LEVEL and kind == RIGHTS and len(data) == _FD.size:
            return list(_FD.unpack(data))
    return [
        fd
        for level, kind, data in ancillary
        if level == LEVEL and kind == RIGHTS
        for (fd,) in _FD.iter_unpack(data[: len(data) - len(data) % _FD.size])
    ]
