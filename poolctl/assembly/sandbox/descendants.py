"""The descendants of a child process: adopted when their parent dies, and killed with the child (prctl(2))."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
ROUNDS = 100  # rounds of killing, as killed processes may leave children


@contextlib.contextmanager
def reaping_descendants() -> Iterator[None]:
    """Adopt orphaned descendants, even those in other sessions, and at the end kill all children that did not exist
    before.

    No other thread may start processes meanwhile. Does nothing on systems other than Linux.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    before = _children()
    _control(PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        for _ in range(ROUNDS):
            left = _children() - before
            for pid in left:
                _end(pid)
            if not left:
                break
        _control(PR_SET_CHILD_SUBREAPER, 0)


def die_with_parent() -> None:
    """Make the kernel kill this process when its parent dies. A change of user resets this."""
    if sys.platform.startswith("linux"):
        _control(PR_SET_PDEATHSIG, signal.SIGKILL)


def _control(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _children() -> set[int]:
    """Return the children of all threads; none if the kernel was built without CONFIG_PROC_CHILDREN."""
    found: set[int] = set()
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/self/task/{thread}/children") as file:
            found.update(map(int, file.read().split()))
    return found


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
