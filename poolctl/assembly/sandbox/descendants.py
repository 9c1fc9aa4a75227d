"""The descendants of a child process: adopted when their parent dies, and killed with the child."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

from poolctl.runtime.system.prctl import adopt_orphans

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
    adopt_orphans(True)
    try:
        yield
    finally:
        for _ in range(ROUNDS):
            left = _children() - before
            for pid in left:
                _end(pid)
            if not left:
                break
        adopt_orphans(False)


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
