"""Threads of the operating system, also where the app has made something else of those of the standard library.

gevent.monkey.patch_all() and its like put greenlets in the place of threads. A greenlet runs when others let it, and
code that waits in the kernel, as poolctl's does, never lets it. So what starts a thread is taken here before the app is
imported, as every module of the runtime takes what it needs of select, socket and threading with ``from ... import``.
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
    """After the app's import: where it has patched threads, have what took their place make its beginning here, in one
    thread. gevent imports modules for its first hub; two threads that do so at once wait for each other for ever."""
    if _thread.start_new_thread is not start_new_thread:
        time.sleep(0)  # the patched one


class Started(Protocol):
    """A thread that runs."""

    def join(self) -> None:
        """Wait for its end."""


def start(work: Callable[[], None], name: str, *, daemon: bool = True) -> Started:
    """Run it in a thread of its own. Raises RuntimeError where the system has room for no other."""
    if _thread.start_new_thread is start_new_thread:
        thread = Thread(target=work, name=name, daemon=daemon)
        thread.start()
        return thread
    return _Plain(work, name)


def join(threads: Iterable[Started]) -> None:
    """Wait for the end of all. What an app raises in this thread meanwhile, from a signal handler for instance, ends no
    wait."""
    for thread in threads:
        waits = True
        while waits:
            try:
                thread.join()
                waits = False
            except BaseException:
                log.exception("raised while threads were waited for")


def watch(work: Callable[[], None], name: str) -> None:
    """Run it beside the app in a thread that nobody waits for and that the threading module does not know: libraries
    look there whether they are alone in their process before they change it."""
    _Plain(work, name, known=False)


class _Plain:
    """One that the threading module did not start."""

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
                with contextlib.suppress(Exception):  # a patched module may have none for it
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
