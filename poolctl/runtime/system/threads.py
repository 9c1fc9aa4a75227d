"""Threads of the operating system, even if the app has patched the standard library.

gevent.monkey.patch_all() and similar calls replace threads with greenlets. A greenlet runs only when the others yield,
and code that waits in the kernel, as poolctl's does, never yields. So this module binds the functions that start
threads before the app is imported, as every module of the runtime binds what it needs of select, socket and threading
with ``from ... import``.
"""

from __future__ import annotations

import _thread
import contextlib
import logging
import threading
import time
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable, Iterable
from typing import Protocol

log = logging.getLogger("poolctl")
Thread = threading.Thread


def settle() -> None:
    """Called after the app's import: if it has patched threads, initialise their replacement here, in one thread.
    gevent imports modules for its first hub, and two threads that do so at once deadlock."""
    if _thread.start_new_thread is not start_new_thread:
        time.sleep(0)  # the patched one


class Started(Protocol):
    """A running thread."""

    def join(self) -> None:
        """Wait for its end."""


def start(work: Callable[[], None], name: str, *, daemon: bool = True) -> Started:
    """Start ``work`` in a new thread and return the thread. Raises RuntimeError if the system has no room for
    another."""
    if _thread.start_new_thread is start_new_thread:
        thread = Thread(target=work, name=name, daemon=daemon)
        thread.start()
        return thread
    return _Plain(work, name)


def join(threads: Iterable[Started]) -> None:
    """Wait for all threads to end. An exception that the app raises in this thread meanwhile, for instance from a
    signal handler, is logged and does not end the wait."""
    for thread in threads:
        waits = True
        while waits:
            try:
                thread.join()
                waits = False
            except BaseException:
                log.exception("exception raised while waiting for threads")


def watch(work: Callable[[], None], name: str) -> None:
    """Start ``work`` in a background thread that is never joined and that the threading module does not know: libraries
    ask that module whether their process has other threads before they change it."""
    _Plain(work, name, known=False)


class _Plain:
    """A thread that the threading module did not start."""

    def __init__(self, work: Callable[[], None], name: str, *, known: bool = True) -> None:
        self._work = work
        self._name = name
        self._known = known
        self._running = allocate_lock()
        self._running.acquire()
        start_new_thread(self._run, ())

    def _run(self) -> None:
        try:
            if self._known:
                with contextlib.suppress(Exception):  # a patched module may have no such object
                    threading.current_thread().name = self._name
            self._work()
        except BaseException:
            log.exception("a thread failed: %s", self._name)
        finally:
            self._running.release()

    def join(self) -> None:
        """Wait for its end."""
        with self._running:
            return
