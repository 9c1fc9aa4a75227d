"""Processes that another one has left behind: taken in while it runs, and ended with it (prctl(2))."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
ROUNDS = 100  # of looking whether those who were ended have left any themselves


@contextlib.contextmanager
def reaping_descendants() -> Iterator[None]:
    """For this time a process whose parent has died is this one's child, even when it has begun a session of its own;
    at the end all are ended that were not here before. No other thread may start processes meanwhile. Elsewhere than
    on Linux nothing can be taken in."""
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
    """Have this process killed when the one dies that forked it. A change of user undoes that."""
    if sys.platform.startswith("linux"):
        _control(PR_SET_PDEATHSIG, signal.SIGKILL)


def _control(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _children() -> set[int]:
    """Of all threads; none where the kernel was built without that list (CONFIG_PROC_CHILDREN)."""
    found: set[int] = set()
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/self/task/{thread}/children") as file:
            found.update(map(int, file.read().split()))
    return found


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
