"""Channels between the processes of a generation: messages that arrive whole, in order, and to one reader each."""

from __future__ import annotations

import array
import socket

# SEQPACKET tells the end of file; where a system has none between unix sockets (macOS), datagrams keep the rest.
KIND = getattr(socket, "SOCK_SEQPACKET", socket.SOCK_DGRAM)
RIGHTS = socket.CMSG_SPACE(2 * array.array("i").itemsize)  # room for two descriptors


def channel() -> tuple[socket.socket, socket.socket]:
    """(writer, reader): one way, though nothing but good manners keeps it so."""
    try:
        return socket.socketpair(socket.AF_UNIX, KIND)
    except OSError:
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)


def descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    """The descriptors that came along with a message."""
    found = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return found.tolist()
