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


def fork(run: Callable[[], int]) -> int:
    """Fork a process that does `run` and exits with the status it answers. Answers its pid.

    The child never comes back from here, whatever happens: nothing of its parent's stack, `finally` and `with` and
    atexit included, runs twice.

    Raises:
        OSError: the system allows no more processes or has no memory for one.
    """
    flush()  # or the child writes again what is still in the buffers
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
    """Write out what Python holds back of stdout and stderr; each may be None or closed by its reader."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:  # noqa: BLE001  # None, closed, or what an app has put in its place and raises
            continue  # there is nothing to save and nowhere to say so


def reap(pid: int) -> int | None:
    """How a child of this process ended (exit status, or minus the signal), or None while it lives.

    Asks for this one child: others may belong to the user's app, which waits for them itself.
    """
    found, status = waitpid(pid, WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None
