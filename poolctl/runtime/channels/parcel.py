"""How a task travels between processes: one message, its descriptors beside it.

    ticket (8 bytes) | flags (1) | length of the introduction (2) | when (8) | introduction | bytes of the request

The introduction has the client's address and port, the number of the listener, and the subject of the client's
certificate if it has one ("127.0.0.1 51234 0 "); it is made once per connection. "When" is the time at which the task
was complete, in seconds of the monotonic clock, which all processes share: the worker sees how long it has waited.

The way back is a record of eight bytes in a pipe that all workers share: writes of up to PIPE_BUF bytes arrive whole
(pipe(7)), and the front reads many at once. If the client has not read all of the response, one message takes the place
of the record, with files beside it:

    record (8 bytes) | which file (1), offset (8), bytes (8) | the next part ...
"""

from __future__ import annotations

import struct
from math import log2
from typing import Final

from poolctl.runtime.task import Peer, new_peer

HEAD: Final = struct.Struct("<QBHd")
RECORD: Final = struct.Struct("<Q")
PART: Final = struct.Struct("<BQQ")  # of what a client has not read: index of a file beside the message, offset, bytes

PIECE_BYTES: Final = 65536  # read at once from a request that is lent
FLAG_LAST: Final = 1  # the connection ends after this response
FLAG_ENDED: Final = 2  # the client sends no more
FLAG_FILE: Final = 4  # the request is in a file, the second descriptor
FLAG_PACKED: Final = 16  # the request is not its bytes, but what ``Framer.packed`` has made of them
FLAG_TIMED: Final = 32  # the front wants to know how long the worker has the task
FLAG_MOVED: Final = 8  # the connection has passed its door in another process; both ends follow the introduction

# A record is a number shifted left by 2, plus one of these; in its highest 8 bits, with FLAG_TIMED, how long the worker
# has had the task (see ``code_of``).
TICKET_KEPT: Final = 1  # ticket: the connection may be kept
TICKET_MISSED: Final = 2  # ticket: the connection did not arrive, because the worker was out of file descriptors
TICKET_ACCEPTED: Final = 2  # ticket of a turn: a connection was accepted, or none was left to accept
TICKET_SHIFT: Final = 2
TICKET_MASK: Final = (1 << 54) - 1  # a ticket is the PID of a front (22 bits) and a counter (32 bits)
TIME_SHIFT: Final = 56
UNTIMED: Final = (1 << TIME_SHIFT) - 1  # the greatest record without a time
NO_TIME: Final = 1  # the code of a task that was not served
TIMES: Final = tuple(0.0 if code <= NO_TIME else (2 ** (code / 8) - 1) / 1e6 for code in range(256))  # seconds, by code


def code_of(seconds: float) -> int:
    """Return the code of a time from 0.2 us to 3,900 s, in steps of 9 %."""
    code = int(8 * log2(1 + seconds * 1e6) + 0.5)
    return code if NO_TIME < code < 256 else NO_TIME + 1 if code <= NO_TIME else 255


def introduction(peer: Peer, listener: int) -> bytes:
    """Return the introduction of a client, at most a few hundred bytes; the subject of a certificate is bounded where
    it is read."""
    return f"{peer.client_host} {peer.client_port} {listener} {peer.subject}".encode()


def server_end(peer: Peer) -> bytes:
    """Return the server's end of a connection, which may be that of a proxy's header."""
    return f"{peer.server_host} {peer.server_port}".encode()


def introduced(words: bytes, servers: list[tuple[str, str]]) -> tuple[Peer, int]:
    """Return (peer, number of the listener) from an introduction and the (host, port) of all listeners."""
    host, port, listener, subject = words.decode().split(" ", 3)
    number = int(listener)
    server_host, server_port = servers[number]
    return new_peer(Peer, (host, port, server_host, server_port, subject)), number
