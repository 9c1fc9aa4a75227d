"""A wake-up between processes, and between the threads of one: an eventfd(2) used as a flag."""

from __future__ import annotations

import contextlib
import os
from select import POLLIN, poll


class Bell:
    """Once rung it stays rung until a waiter wakes, or it is silenced."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._write, self._read = os.eventfd_write, os.eventfd_read  # as they are before an app is imported

    def ring(self) -> None:
        """Wake the waiter, or the next one to wait."""
        with contextlib.suppress(BlockingIOError):  # the counter is at its limit, so it is rung
            self._write(self.fd, 1)

    def silence(self) -> None:
        """Forget that it was rung."""
        with contextlib.suppress(BlockingIOError):  # it was not rung
            self._read(self.fd)

    def wait(self) -> None:
        """Wait until it is rung, and silence it."""
        waiting = poll()
        waiting.register(self.fd, POLLIN)
        waiting.poll()
        self.silence()
