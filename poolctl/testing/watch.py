"""A strategy that never comes back must not take its tests with it: each call has five seconds.

The time is kept by SIGALRM, which interrupts loops, sleeps and locks alike. What a test runner has set for that signal
is put back, with the time that was left. Other threads than the main one get no signals, and are not watched.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn, ParamSpec

from poolctl.testing.violation import Violation

PATIENCE = 5.0  # seconds that one call may take
CALL = signal.ITIMER_REAL
Given = ParamSpec("Given")


class Hang(BaseException):
    """No Exception, so that neither the strategy nor the search for a shorter history catches it, and hangs again."""

    def __init__(self, violation: Violation | None = None) -> None:
        super().__init__()
        self.violation = violation


def _rung(number: int, frame: Any) -> NoReturn:
    raise Hang


def watched(check: Callable[Given, None]) -> Callable[Given, None]:
    """A check in which calls by ``in_time`` are watched; one that hangs becomes a Violation."""

    @wraps(check)
    def run(*given: Given.args, **named: Given.kwargs) -> None:
        if threading.current_thread() is not threading.main_thread():
            check(*given, **named)
            return
        timer, handler = signal.setitimer(CALL, 0), signal.signal(signal.SIGALRM, _rung)
        try:
            check(*given, **named)
        except Hang as hang:
            raise hang.violation or Violation(f"it has not come back after {PATIENCE:g} s") from None
        finally:
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(CALL, *timer)

    return run


def in_time(method: Callable[..., Any], *arguments: Any) -> Any:
    """What the method answers. Raises Hang when it does not."""
    if signal.getsignal(signal.SIGALRM) is not _rung or threading.current_thread() is not threading.main_thread():
        return method(*arguments)
    signal.setitimer(CALL, PATIENCE)
    try:
        return method(*arguments)
    finally:
        signal.setitimer(CALL, 0)
