"""Operations on a process (prctl(2)); on systems other than Linux they do nothing."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def adopt_orphans(wanted: bool) -> None:
    """Make this process the parent of its orphaned descendants, or no longer. Raises OSError."""
    _control(PR_SET_CHILD_SUBREAPER, int(wanted))


def die_with_parent() -> None:
    """Make the kernel kill this process when its parent dies. A change of user resets this. Raises OSError."""
    _control(PR_SET_PDEATHSIG, signal.SIGKILL)


def _control(option: int, value: int) -> None:
    if not sys.platform.startswith("linux"):
        return
    if ctypes.CDLL(None, use_errno=True).prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
