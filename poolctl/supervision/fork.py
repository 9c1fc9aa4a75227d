"""Forking, for the supervisor and the mold alike: both are single-threaded, so what they fork is clean."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from os import WNOHANG, _exit, waitpid

from poolctl.runtime.system import forked
from poolctl.supervision.signals import held_back, inherit_nothing

log = logging.getLogger("poolctl")
UNKNOWN_STATUS = 1  # as of a process that has failed


def fork(run: Callable[[], int]) -> int:
    """Fork a process that calls `run` and exits with the status that it returns. Returns the child's pid.

    The child never returns from this call, whatever happens, so nothing of its parent's stack runs twice: no
    `finally`, no `with`, no atexit handler.

    Raises:
        OSError: the system allows no more processes, or has no memory for one.
    """
    flush()  # or the child would write again what is still in the buffers
    with held_back():
        pid = forked.fork()
        if pid == 0:
            inherit_nothing()
    if pid:
        return pid
    status = 1
    try:
        status = run()
    except BaseException:
        forked.leave()
        log.exception("process %d failed", os.getpid())
    finally:
        try:
            flush()
        finally:
            _exit(status)


def flush() -> None:
    """Flush Python's buffers of stdout and stderr; each stream may be None or closed by its reader."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:  # noqa: BLE001  # None, closed, or an object that an app put in its place and that raises
            continue  # there is nothing to save and nowhere to report it


def reap(pid: int) -> int | None:
    """Return how a child of this process ended (exit status, or minus the signal), or None while it lives.

    Waits for this one child only: others may belong to the user's app, which reaps them itself. An app that waits for
    any child may have reaped this one: then its status is not known, and UNKNOWN_STATUS is returned.
    """
    try:
        found, status = waitpid(pid, WNOHANG)
    except ChildProcessError:
        return UNKNOWN_STATUS
    return os.waitstatus_to_exitcode(status) if found else None
