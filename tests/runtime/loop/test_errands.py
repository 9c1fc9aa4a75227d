"""Calls from other threads are made in the loop's own, in their order."""

from __future__ import annotations

import os
import threading
from typing import Any

from harness.machine import PATIENCE

from poolctl.runtime.loop.errands import Errands
from poolctl.runtime.loop.loop import Loop


def test_they_are_made_in_the_thread_of_the_loop() -> None:
    lifeline, end = os.pipe()
    loop: Loop[Any] = Loop(lifeline)
    errands = Errands(loop)
    made: list[tuple[int, str]] = []
    over = threading.Event()
    thread = threading.Thread(target=loop.run, args=(None,))
    thread.start()
    for number in range(3):
        errands.post(lambda number=number: made.append((number, threading.current_thread().name)))  # type: ignore[misc]
    errands.post(over.set)
    assert over.wait(PATIENCE)
    assert made == [(number, thread.name) for number in range(3)]
    assert errands.fd in loop.sources
    loop._finish()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    os.close(end)
    loop.close()
    for fd in (lifeline, errands.fd, errands._writer):
        os.close(fd)


def test_an_errand_that_raises_ends_no_loop() -> None:
    lifeline, end = os.pipe()
    loop: Loop[Any] = Loop(lifeline)
    errands = Errands(loop)
    over = threading.Event()
    thread = threading.Thread(target=loop.run, args=(None,))
    thread.start()

    def fail() -> None:
        raise ValueError("on purpose")

    errands.post(fail)
    errands.post(over.set)
    assert over.wait(PATIENCE)
    loop._finish()
    thread.join(PATIENCE)
    os.close(end)
    loop.close()
    for fd in (lifeline, errands.fd, errands._writer):
        os.close(fd)
