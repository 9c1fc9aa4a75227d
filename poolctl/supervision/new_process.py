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

PID_BYTES = 32  # of what the new process says
START_SECONDS = 5.0  # seconds that it has for that, unless somebody has stopped the one in between


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
        return _start_for_the_manager(become) if followed and _has_pidfd() else cls(fork(become))

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
            self.ended = "ended" if _readable(self._pidfd, 0) else ""
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


def _has_pidfd() -> bool:
    """Whether the kernel has pidfd_open(2), and a sandbox allows it. Raises OSError if it fails for another reason."""
    if not hasattr(os, "pidfd_open"):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
        return False
    return True


def _start_for_the_manager(become: Callable[[], int]) -> NewProcess:
    """Fork a process that forks the new one, which says its pid, and goes on when that is known: one that this process
    does not know would take it for dead, and serve beside it. The process in between, which may be killed at any time,
    ends then too: until then the pid cannot be another process's."""
    said, says = os.pipe()
    waits, goes = os.pipe()

    def new() -> int:
        os.write(says, str(os.getpid()).encode())
        return become() if os.read(waits, 1) else 1

    def between() -> int:
        os.close(goes)  # or both would wait for themselves
        try:
            fork(new)
        except OSError as error:
            os.write(says, f"-{error.errno or errno.EAGAIN}".encode())
            return 1
        _readable(waits)
        return 0

    try:
        middle = fork(between)
        os.close(says)
        says = -1
        if not _readable(said, START_SECONDS):
            os.kill(middle, signal.SIGKILL)  # not reaped, so the pid is still its
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        pid = int(os.read(said, PID_BYTES) or f"-{errno.EAGAIN}")
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        process = NewProcess(pid, os.pidfd_open(pid))
        os.write(goes, b"x")
        return process
    finally:
        for fd in (said, says, waits, goes):
            if fd >= 0:
                os.close(fd)


def _readable(fd: int, seconds: float | None = None) -> bool:
    """Wait until there is something to read, or the end of the file. Returns False after so many seconds."""
    poller = poll()
    poller.register(fd, POLLIN)
    return bool(poller.poll(None if seconds is None else seconds * 1000))
