"""System calls for descriptors that do not block: those of ``os``, and in the compiled form those of ``_calls.c``.

The latter do the same and keep the interpreter's lock, since no other thread can gain from a call that never waits.
With four threads under leader/followers a request costs 6 % less, and 17 % less where each has another head and a
connection of its own (docs/performance.md).

``ACCEPT``   returns (descriptor, host, port) of a new connection, which does not block; host and port are text, empty
             for a unix socket
``SEND``     sends a message on a channel, with up to two descriptors beside it
``RECEIVE``  returns (message, descriptors); waits for a message, but if the flags have MSG_DONTWAIT returns None
``BEGIN``    notes in a row of the scoreboard that a request begins; returns the monotonic time in nanoseconds
``FINISH``   counts there the request that began at this time; returns the time

These are None where there is no compiled form; their users then have their own way.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from poolctl.compiled import compiled

_calls: Final[Any] = import_module("poolctl.runtime.system._calls") if compiled() else None

close: Final[Callable[[int], None]] = getattr(_calls, "close", os.close)
read: Final[Callable[[int, int], bytes]] = getattr(_calls, "read", os.read)
write: Final[Callable[[int, bytes | bytearray | memoryview], int]] = getattr(_calls, "write", os.write)

ACCEPT: Final[Callable[[int], tuple[int, str, str]] | None] = getattr(_calls, "accept", None)
SEND: Final[Callable[..., None] | None] = getattr(_calls, "send", None)
RECEIVE: Final[Callable[[int, int], tuple[bytes, list[int]] | None] | None] = getattr(_calls, "receive", None)
BEGIN: Final[Callable[[memoryview], int] | None] = getattr(_calls, "begin", None)
FINISH: Final[Callable[[memoryview, int], int] | None] = getattr(_calls, "finish", None)
