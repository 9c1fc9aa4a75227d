"""Timeouts for strategies that never return: five seconds for a call, a minute for a check.

    check -- with_timeout --> the strategy    records when the call began, which costs no system call
    SIGALRM, ten times per second             interrupts loops, sleeps and locks alike, and checks the time

A handler and timer that a test runner has set for the signal are restored afterwards, with the remaining time. Threads
other than the main thread receive no signals and are not watched.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from functools import wraps
from time import monotonic
from typing import Any, ParamSpec

from poolctl.testing.violation import Violation

PATIENCE = 5.0  # seconds that one call may take
CHECK_PATIENCE = 60.0  # seconds that a check may take
TICK = 0.1  # seconds
TIMER = signal.ITIMER_REAL
MAIN = threading.main_thread().ident
Given = ParamSpec("Given")


class Hang(BaseException):
    """Not an Exception, so that neither the strategy nor hypothesis catches it and hangs again."""

    def __init__(self, violation: Violation | None = None) -> None:
        super().__init__()
        self.violation = violation


class Watch:
    """When the current check and call began, in seconds of the monotonic clock; 0.0: none. There is one instance, since
    a process has one timer."""

    __slots__ = ("call", "check")

    def __init__(self) -> None:
        self.call = self.check = 0.0

    def look(self, number: int, frame: Any) -> None:
        """Called at each tick. Raises Hang for an overdue call, and again at the next tick if that was caught."""
        if self.call and monotonic() - self.call > PATIENCE:
            raise Hang


WATCH = Watch()


def watched(check: Callable[Given, None]) -> Callable[Given, None]:
    """Decorate a check, so that calls through ``with_timeout`` are watched, and a hanging call becomes a Violation."""

    @wraps(check)
    def run(*given: Given.args, **named: Given.kwargs) -> None:
        if threading.current_thread() is not threading.main_thread():
            check(*given, **named)
            return
        WATCH.call, WATCH.check = 0.0, monotonic()
        timer, handler = signal.setitimer(TIMER, 0), signal.signal(signal.SIGALRM, WATCH.look)
        try:
            signal.setitimer(TIMER, TICK, TICK)
            check(*given, **named)
        except Hang as hang:
            raise hang.violation or Violation(f"it did not return within {PATIENCE:g} s") from None
        finally:
            signal.setitimer(TIMER, 0)
            WATCH.call = WATCH.check = 0.0
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(TIMER, *timer)

    return run


def with_timeout(method: Callable[..., Any], *arguments: Any) -> Any:
    """Call the method and return its result. Raises Hang if it does not return in time, and Violation if the whole
    check has taken too long."""
    if not WATCH.check or threading.get_ident() != MAIN:
        return method(*arguments)
    now = monotonic()
    if now - WATCH.check > CHECK_PATIENCE:
        fix = "every task waits for the decision, which should take microseconds"
        raise Violation(f"decisions are so slow that the check did not finish within {CHECK_PATIENCE:g} s", fix)
    WATCH.call = now
    try:
        return method(*arguments)
    finally:
        WATCH.call = 0.0
