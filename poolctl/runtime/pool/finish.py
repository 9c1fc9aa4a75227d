"""Ends a process that has imported the app in the way that Python ends a program.

Roles and molds are forked and end with os._exit, because nothing on their parents' stack may run twice. So the steps of
Python's own end (Py_FinalizeEx) are done here: wait for non-daemon threads and for the jobs of executors, then run the
functions registered with atexit: logging's last flush, multiprocessing's cleanup of its children, finalizers of
temporary files, and the app's own functions.

    begin()    after the fork: functions registered earlier belong to the parent
    finish()   at the end, within the time that the process has left

Functions that the app registers during its import run in the importing process: each worker, or with ``preload`` the
mold, once.
"""

from __future__ import annotations

import atexit
import logging
import sys
import threading
import weakref
from os import _exit
from time import sleep
from typing import Any

from poolctl.runtime.system import threads

log = logging.getLogger("poolctl")


def begin() -> None:
    """In a newly forked process, drop the exit functions of its parent, as multiprocessing does in its children
    (BaseProcess._bootstrap). Those of logging, weakref and multiprocessing stay, with nothing of the parent's left to
    do."""
    atexit._clear()
    atexit.register(logging.shutdown)
    finalize: Any = weakref.finalize
    for known in finalize._registry.values():
        known.atexit = False
    if finalize._registered_with_atexit:
        atexit.register(finalize._exitfunc)
    if "multiprocessing.util" in sys.modules:  # otherwise it registers itself when it is imported
        util: Any = sys.modules["multiprocessing.util"]
        util._finalizer_registry.clear()
        atexit.register(util._exit_function)
        process: Any = sys.modules["multiprocessing.process"]
        process._children = set()


def finish(status: int, seconds: float) -> int:
    """Wait for threads and run the exit functions. Returns the exit status: ``status``, or 1 if it is 0 and something
    raised. If that takes longer than ``seconds``, the process ends with status 1; without memory for the thread that
    sees to it, its parent ends the process at the end of the drain."""
    try:
        threads.watch(lambda: _leave(max(0.0, seconds)), "finish")
    except (RuntimeError, MemoryError) as error:
        log.warning("nothing limits the time of threads and exit functions of the app: %s", error)
    shutdown: Any = vars(threading)["_shutdown"]  # called by Py_FinalizeEx; ends the threads of executors too
    try:
        shutdown()
        atexit._run_exitfuncs()  # prints the exception of a function and goes on with the next
    except BaseException:
        log.exception("the end of the process failed")
        return status or 1
    return status


def _leave(seconds: float) -> None:
    sleep(seconds)
    log.warning("threads or exit functions of the app did not end in time; leaving them unfinished")
    _exit(1)
