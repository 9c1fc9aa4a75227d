"""The process of the supervisor that an upgrade starts.

    somebody waits for the old process         old --fork--> new                     a child
    a service manager follows (MAINPID=)       old --fork--> between --fork--> new   between exits: the manager's child

A service manager treats a main process that is not its child as a stranger: systemd stops such a service with SIGKILL,
since it might not learn when that process ends. So the new supervisor loses its parent before it is named. The old one
then learns of its end by a descriptor (pidfd_open(2), Linux 5.3), and not how it ended; without that system call it
stays a child.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from select import POLLIN, poll

from poolctl.supervision.fork import fork
from poolctl.supervision.restart import cause

PID_BYTES = 32  # of what the process in between says


class NewProcess:
    """One process, in a group of its own. ``ended``: how it ended, for people; empty while it runs."""

    def __init__(self, pid: int, pidfd: int = -1) -> None:
        """``pidfd``: of a process that is not a child."""
        self.pid, self._pidfd = pid, pidfd
        self.ended = ""
        with suppress(ProcessLookupError, PermissionError):  # it has already ended, or done so itself
            os.setpgid(pid, pid)

    @classmethod
    def start(cls, become: Callable[[], int], *, followed: bool) -> NewProcess:
        """Fork it. ``become``: what it runs; ``followed``: by a service manager, whose child it is to be. Raises
        OSError."""
        return _start_for_the_manager(become) if followed and hasattr(os, "pidfd_open") else cls(fork(become))

    @property
    def watched(self) -> list[int]:
        """The descriptors on whose events ``look`` must be called."""
        return [] if self._pidfd < 0 or self.ended else [self._pidfd]

    def look(self, dead: Mapping[int, int]) -> bool:
        """Return whether it has ended since the last call. ``dead``: the children that have, with their exit codes."""
        if self.ended:
            return False
        if self._pidfd < 0:
            self.ended = cause(dead[self.pid]) if self.pid in dead else ""
        else:
            poller = poll()
            poller.register(self._pidfd, POLLIN)
            self.ended = "ended" if poller.poll(0) else ""
        return bool(self.ended)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self.ended:
            return
        with suppress(ProcessLookupError):  # it has just ended
            if self._pidfd < 0:
                os.kill(self.pid, number)  # not reaped, so the pid is still its
            else:
                signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        """Kill it, with what is left of its group."""
        if not self.ended:
            self.signal(signal.SIGKILL)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Close its descriptor."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


def _start_for_the_manager(become: Callable[[], int]) -> NewProcess:
    """Fork a process that forks the new one, says its pid, and ends when that is known: until then the pid cannot be
    another process's."""
    said, says = os.pipe()
    waits, known = os.pipe()

    def between() -> int:
        os.close(known)  # or it would wait for itself
        try:
            pid = fork(become)
        except OSError as error:
            os.write(says, f"-{error.errno or errno.EAGAIN}".encode())
            return 1
        os.write(says, str(pid).encode())
        os.read(waits, 1)  # until the end of file
        return 0

    try:
        fork(between)
        os.close(says)
        says = -1
        pid = int(os.read(said, PID_BYTES) or f"-{errno.EAGAIN}")
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        return NewProcess(pid, os.pidfd_open(pid))
    finally:
        for fd in (said, says, waits, known):
            if fd >= 0:
                os.close(fd)
