"""Channels between the processes of a generation: messages that arrive whole, in order, and to one reader each."""

from __future__ import annotations

import socket
import struct

# SEQPACKET tells the end of file; where a system has none between unix sockets (macOS), datagrams keep the rest.
KIND = getattr(socket, "SOCK_SEQPACKET", socket.SOCK_DGRAM)
LEVEL, RIGHTS = int(socket.SOL_SOCKET), int(socket.SCM_RIGHTS)
_FD = struct.Struct("i")
ROOM = socket.CMSG_SPACE(2 * _FD.size)  # for two descriptors


def channel() -> tuple[socket.socket, socket.socket]:
    """(writer, reader): one way, though nothing but good manners keeps it so."""
    try:
        return socket.socketpair(socket.AF_UNIX, KIND)
    except OSError:
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)


def descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    """The descriptors that came along with a message."""
    return [
        fd
        for level, kind, data in ancillary
        if level == LEVEL and kind == RIGHTS
        for (fd,) in _FD.iter_unpack(data[: len(data) - len(data) % _FD.size])
    ]
