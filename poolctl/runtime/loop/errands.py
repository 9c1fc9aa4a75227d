"""Calls that other threads want made in the thread of a loop, between two of its events.

    another thread --> Errands.post --> queue, pipe --> the loop's thread makes the call

A byte for each call; a loop that has left its sources, at the end of a drain, makes none of them.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from os import read, write
from typing import Protocol

from poolctl.runtime.loop.source import Registry, Source
from poolctl.runtime.system import forked


class Sourced(Registry, Protocol):
    """What errands need of their loop."""

    def add_source(self, source: Source[None]) -> None:
        """Watch a source."""


class Errands(Source[None]):
    """The errands of one loop, which has them among its sources."""

    def __init__(self, loop: Sourced) -> None:
        self._calls: deque[Callable[[], None]] = deque()
        self.fd, self._writer = os.pipe()
        forked.hold({self.fd, self._writer})
        loop.add_source(self)

    def post(self, call: Callable[[], None]) -> None:
        """Have this called in the loop's thread. Called in another one."""
        self._calls.append(call)
        write(self._writer, b"x")

    def on_event(self, events: int, service: None) -> None:
        read(self.fd, 1)
        self._calls.popleft()()
