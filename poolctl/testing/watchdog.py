"""A strategy that never comes back must not take its tests with it: a call has five seconds, a check a minute.

    check -- in_time --> the strategy         notes when it began: a call costs no call of the system
    SIGALRM, every tenth second               interrupts loops, sleeps and locks alike, and looks at the time

What a test runner has set for that signal is put back, with the time that was left. Other threads than the main one get
no signals, and are not watched.
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
WHOLE = 60.0  # seconds that a check may take
TICK = 0.1  # seconds
CALL = signal.ITIMER_REAL
MAIN = threading.main_thread().ident
Given = ParamSpec("Given")


class Hang(BaseException):
    """No Exception, so that neither the strategy nor the search for a shorter history catches it, and hangs again."""

    def __init__(self, violation: Violation | None = None) -> None:
        super().__init__()
        self.violation = violation


class Watch:
    """When the check and the call under way began, in seconds of the monotonic clock; 0.0: none. There is one, as there
    is one timer in a process."""

    __slots__ = ("call", "check")

    def __init__(self) -> None:
        self.call = self.check = 0.0

    def look(self, number: int, frame: Any) -> None:
        """At each tick. Raises Hang, and again at the next tick for who has caught it."""
        if self.call and monotonic() - self.call > PATIENCE:
            raise Hang


WATCH = Watch()


def watched(check: Callable[Given, None]) -> Callable[Given, None]:
    """A check in which calls by ``in_time`` are watched; one that hangs becomes a Violation."""

    @wraps(check)
    def run(*given: Given.args, **named: Given.kwargs) -> None:
        if threading.current_thread() is not threading.main_thread():
            check(*given, **named)
            return
        WATCH.call, WATCH.check = 0.0, monotonic()
        timer, handler = signal.setitimer(CALL, 0), signal.signal(signal.SIGALRM, WATCH.look)
        try:
            signal.setitimer(CALL, TICK, TICK)
            check(*given, **named)
        except Hang as hang:
            raise hang.violation or Violation(f"it has not come back after {PATIENCE:g} s") from None
        finally:
            signal.setitimer(CALL, 0)
            WATCH.call = WATCH.check = 0.0
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(CALL, *timer)

    return run


def in_time(method: Callable[..., Any], *arguments: Any) -> Any:
    """What the method answers. Raises Hang when it does not, and Violation when the check has taken too long."""
    if not WATCH.check or threading.get_ident() != MAIN:
        return method(*arguments)
    now = monotonic()
    if now - WATCH.check > WHOLE:
        mend = "every task waits for each decision: it should take microseconds"
        raise Violation(f"its decisions are so slow that the check is not over after {WHOLE:g} s", mend)
    WATCH.call = now
    try:
        return method(*arguments)
    finally:
        WATCH.call = 0.0
