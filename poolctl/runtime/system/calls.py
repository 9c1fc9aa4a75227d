"""System calls for descriptors that do not block: those of ``os``, and in the compiled form those of ``_calls.c``.

The latter do the same and keep the interpreter's lock, since no other thread can gain from a call that never waits.
With four threads under leader/followers a request costs 6 % less, and 17 % less where each has another head and a
connection of its own (docs/performance.md).

``ACCEPT``   returns (descriptor, host, port) of a new connection, which does not block; host and port are text, empty
             for a unix socket
``SEND``     sends a message on a channel, with up to two descriptors beside it
``RECEIVE``  returns (message, descriptors); waits for a message unless the flags have MSG_DONTWAIT
``BEGIN``    notes in a row of the scoreboard that a request begins; returns the monotonic time in nanoseconds
``FINISH``   counts there the request that began at this time; returns the time

These are None where there is no compiled form; their users then have their own way.
"""

from __future__ import annotations

from collections.abc import Callable
from os import close, read, write
from typing import TYPE_CHECKING

from poolctl.compiled import compiled

ACCEPT: Callable[[int], tuple[int, str, str]] | None = None
SEND: Callable[..., None] | None = None
RECEIVE: Callable[[int, int], tuple[bytes, list[int]]] | None = None
BEGIN: Callable[[memoryview], int] | None = None
FINISH: Callable[[memoryview, int], int] | None = None

if not TYPE_CHECKING and compiled():
    from poolctl.runtime.system._calls import accept as ACCEPT
    from poolctl.runtime.system._calls import begin as BEGIN
    from poolctl.runtime.system._calls import close, read, write
    from poolctl.runtime.system._calls import finish as FINISH
    from poolctl.runtime.system._calls import receive as RECEIVE
    from poolctl.runtime.system._calls import send as SEND

__all__ = ["ACCEPT", "BEGIN", "FINISH", "RECEIVE", "SEND", "close", "read", "write"]
