"""The end of a process that has imported the app, as Python ends a program.

Roles and molds are forked and end by os._exit, for nothing of their parents' stack may run twice. So what Python does
at the end of a program (Py_FinalizeEx) is done here: wait for threads other than daemons and for the jobs of executors,
then run what is registered with atexit: logging's last flush, multiprocessing's children, finalizers of temporary
files, and the app's own functions.

    begin()    after the fork: what was registered before belongs to the parent
    finish()   at the end, within the time that the process has left

What the app registers where it is imported runs there: in each worker, or with ``preload`` once, in the mold.
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
    """In a process that was just forked: forget what its parent has to end, as multiprocessing does in its children
    (BaseProcess._bootstrap). What libraries registered for themselves stays."""
    atexit._clear()
    atexit.register(logging.shutdown)
    finalize: Any = weakref.finalize
    for known in finalize._registry.values():
        known.atexit = False
    if finalize._registered_with_atexit:
        atexit.register(finalize._exitfunc)
    if "multiprocessing.util" in sys.modules:  # or else it registers itself when it is imported
        util: Any = sys.modules["multiprocessing.util"]
        util._finalizer_registry.clear()
        atexit.register(util._exit_function)
        process: Any = sys.modules["multiprocessing.process"]
        process._children = set()


def finish(status: int, seconds: float) -> int:
    """Wait for threads and run the exit functions. Returns the exit status: this one, or 1 when something raised. After
    so many seconds the process ends with 1 instead."""
    threads.watch(lambda: _leave(max(0.0, seconds)), "finish")
    shutdown: Any = vars(threading)["_shutdown"]  # what Py_FinalizeEx calls: it ends the threads of executors too
    try:
        shutdown()
        atexit._run_exitfuncs()  # which prints what one of them raises, and goes on
    except BaseException:
        log.exception("the end of the process failed")
        return status or 1
    return status


def _leave(seconds: float) -> None:
    sleep(seconds)
    log.warning("threads or exit functions of the app did not end in time; leaving them unfinished")
    _exit(1)
