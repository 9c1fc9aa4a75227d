"""A strategy of the user's, held to its promises: whatever it does, no task is lost and the front goes on.

    router -- pick --> Guarded -- pick --> the strategy        raises, is slow, or gives no answer:
                          +------ pick --> the default          least-loaded takes the task; counted, and logged once

The scoreboard has the moment since when the front is in the strategy's code, so that the mold finds one that never
comes back.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from time import monotonic_ns
from typing import Any

from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.dispatch.least_loaded import LeastLoaded
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.scoreboard import CHOOSING, FAULTS
from poolctl.runtime.task import Task

log = logging.getLogger("poolctl")
SLOW = 100_000_000  # nanoseconds that one call may take
MESSAGE = 500  # characters of what an exception says
TRACEBACK = 20_000  # characters of a traceback, the last ones


class Guarded(Dispatch):
    """``row``: the front's, where faults are counted."""

    def __init__(self, strategy: Dispatch, row: memoryview) -> None:
        self._strategy = strategy
        self._name = type(strategy).__name__
        self._pick = strategy.pick
        self._row = row
        self._default = LeastLoaded()
        self._offered: tuple[InboxView, ...] = ()
        self._among: frozenset[InboxView] = frozenset()
        self._told: set[str] = set()  # the kinds of faults that were logged
        self.pull = strategy.pull  # type: ignore[misc]  # a class variable elsewhere

    @property
    def inspects(self) -> bool:
        return self._strategy.inspects

    @property
    def hooks(self) -> frozenset[str]:
        return self._strategy.hooks

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView | None:
        if inboxes is not self._offered:  # which is rare: only who has room is on offer
            self._offered = inboxes
            self._among = frozenset(inboxes)
        row = self._row
        began = row[CHOOSING] = monotonic_ns()
        try:
            chosen = self._pick(task, inboxes)
            known = chosen is None or (type(chosen) is InboxView and chosen in self._among)
        except BaseException as error:  # noqa: BLE001  # the user's code may raise anything, SystemExit too
            row[CHOOSING] = 0
            self._fault("pick", error)
            return self._default.pick(task, inboxes)
        took = monotonic_ns() - began
        row[CHOOSING] = 0
        if known and took <= SLOW:
            return chosen
        if not known:
            self._fault("pick", None, f"answered {_short(chosen)}, which is not on offer")
        else:
            self._fault("pick", None, f"took {took / 1e9:.1f} s")
        return self._default.pick(task, inboxes)

    def next(self, inbox: InboxView, waiting: tuple[Task, ...]) -> Task | None:
        sound, chosen = self._call("next", self._strategy.next, inbox, waiting)
        if not sound:
            return waiting[0]
        if chosen is None or any(chosen is task for task in waiting):
            return chosen  # type: ignore[no-any-return]  # it is one of them
        self._fault("next", None, f"answered {_short(chosen)}, which does not wait")
        return waiting[0]

    def joined(self, inbox: InboxView) -> None:
        self._call("joined", self._strategy.joined, inbox)

    def left(self, inbox: InboxView) -> None:
        self._call("left", self._strategy.left, inbox)

    def finished(self, task: Task, inbox: InboxView, seconds: float) -> None:
        self._call("finished", self._strategy.finished, task, inbox, seconds)

    def abstained(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        """It has left a task waiting although nobody has anything to do, so that nothing would ever change: the
        default's choice."""
        self._fault("pick", None, "answered None, although no worker has anything to do")
        return self._default.pick(task, inboxes)

    def _call(self, name: str, method: Callable[..., Any], *arguments: Any) -> tuple[bool, Any]:
        """(whether all went well, what it answered)."""
        row = self._row
        began = row[CHOOSING] = monotonic_ns()
        try:
            answer = method(*arguments)
        except BaseException as error:  # noqa: BLE001  # as above
            row[CHOOSING] = 0
            self._fault(name, error)
            return False, None
        took = monotonic_ns() - began
        row[CHOOSING] = 0
        if took > SLOW:
            self._fault(name, None, f"took {took / 1e9:.1f} s")
            return False, None
        return True, answer

    def _fault(self, name: str, error: BaseException | None, what: str = "") -> None:
        """Count it; log it if it is the first of its kind."""
        self._row[FAULTS] += 1
        raised = type.__getattribute__(type(error), "__name__")  # the class may have a metaclass of the user's
        kind = f"{name} raised {raised}" if error else f"{name} {what.split(' ', maxsplit=1)[0]}"
        if kind in self._told:
            return
        self._told.add(kind)
        said, shown = (f"raised {raised}: {_said(error)}", _traceback(error)) if error else (what, "")
        default = "; least-loaded takes the task" if name == "pick" else "; the oldest task is taken"
        log.error(
            "the strategy %s: %s %s%s (told once, counted each time)%s",
            self._name,
            name,
            said,
            default if name in ("pick", "next") else "",
            shown,
        )


def _said(error: BaseException) -> str:
    """The message of an exception, which is code of the user's too: it may raise, or be endless."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001  # as above
        return "(it cannot be shown: its __str__ raises)"
    return text if len(text) <= MESSAGE else f"{text[:MESSAGE]}..."


def _traceback(error: BaseException) -> str:
    """Where it was raised. A message that cannot be shown must not hide the place."""
    try:
        text = "".join(traceback.format_exception(error)).rstrip()
    except BaseException:  # noqa: BLE001  # as above: the traceback asks each exception for its message
        text = "".join(traceback.format_tb(error.__traceback__)).rstrip()
    return f"\n{text if len(text) <= TRACEBACK else f'...{text[-TRACEBACK:]}'}"


def _short(answer: object) -> str:
    """An answer for the log; its own repr may raise, or be endless."""
    return (
        f"an object of type {type(answer).__name__}"
        if not isinstance(answer, InboxView | int | str)
        else repr(answer)[:60]
    )
