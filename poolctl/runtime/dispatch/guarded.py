"""A guard around a user's strategy: whatever the strategy does, no task is lost and the front goes on.

    router -- pick --> Guarded -- pick --> the strategy        raises, is slow, or returns no inbox on offer:
                          +------ pick --> the default          least-loaded chooses; counted, and logged once

The front notes in the scoreboard when it enters the strategy's code, so that the mold can end a front whose strategy
never returns.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from time import monotonic_ns
from typing import Any

from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.dispatch.least_loaded import LeastLoaded
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.queue_view import ClassLimits, QueueView, is_learned, read_limits
from poolctl.runtime.scoreboard import CHOOSING, FAULTS
from poolctl.runtime.task import Task

log = logging.getLogger("poolctl")
SLOW_NS = 100_000_000  # nanoseconds that one call may take
MESSAGE_CHARACTERS = 500  # characters of an exception's message that are logged
TRACEBACK_CHARACTERS = 20_000  # characters of a traceback that are logged: the last ones
MOST_LEARNED = 512  # rows of ``learned`` that are read
INSTEAD = {  # of the result of a faulty call
    "pick": "using least-loaded for this task",
    "next": "using the oldest task",
    "classify": "the task shares the line of all without a class",
    "limits": "classes have no limits",
    "refuses": "the task is accepted",
}


class Guarded(Dispatch):
    """``row``: the front's row of the scoreboard, where faults are counted."""

    def __init__(self, strategy: Dispatch, row: memoryview) -> None:
        self._strategy = strategy
        self._name = type(strategy).__name__
        self._pick = strategy.pick
        self._row = row
        self._default = LeastLoaded()
        self._offered: tuple[InboxView, ...] = ()
        self._among: frozenset[InboxView] = frozenset()
        self._logged: set[str] = set()  # the kinds of faults that were logged
        self.pull = strategy.pull  # type: ignore[misc]  # a class variable elsewhere
        self.samples = strategy.samples  # type: ignore[misc]  # the same

    @property
    def inspects(self) -> bool:
        return self._strategy.inspects

    @property
    def hooks(self) -> frozenset[str]:
        return self._strategy.hooks

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView | None:
        if inboxes is not self._offered:  # rare: the router makes a new tuple only when the offer changes
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
        if known and took <= SLOW_NS:
            return chosen
        if not known:
            self._fault("pick", None, f"returned {_short(chosen)}, which is not on offer")
        else:
            self._fault("pick", None, f"took {took / 1e9:.1f} s")
        return self._default.pick(task, inboxes)

    def next(self, inbox: InboxView, waiting: tuple[Task, ...]) -> Task | None:
        succeeded, chosen = self._call("next", self._strategy.next, inbox, waiting)
        if not succeeded:
            return waiting[0]
        if chosen is None or any(chosen is task for task in waiting):
            return chosen  # type: ignore[no-any-return]  # it is one of them
        self._fault("next", None, f"returned {_short(chosen)}, which is not a waiting task")
        return waiting[0]

    def joined(self, inbox: InboxView) -> None:
        self._call("joined", self._strategy.joined, inbox)

    def left(self, inbox: InboxView) -> None:
        self._call("left", self._strategy.left, inbox)

    def finished(self, task: Task, inbox: InboxView, seconds: float) -> None:
        self._call("finished", self._strategy.finished, task, inbox, seconds)

    def begin(self, queue: QueueView) -> None:
        self._call("begin", self._strategy.begin, queue)

    def classify(self, task: Task) -> str:
        succeeded, kind = self._call("classify", self._strategy.classify, task)
        if not succeeded:
            return ""
        if type(kind) is str:
            return kind
        self._fault("classify", None, f"returned {_short(kind)}, which is not a string")
        return ""

    def limits(self) -> Mapping[str, ClassLimits]:
        succeeded, answer = self._call("limits", self._read_limits)
        limits, wrong = answer if succeeded else ({}, "")
        if wrong:
            self._fault("limits", None, f"returned {wrong}")
        return limits  # type: ignore[no-any-return]  # of read_limits

    def _read_limits(self) -> tuple[dict[str, ClassLimits], str]:
        return read_limits(self._strategy.limits())

    def refuses(self, task: Task) -> bool:
        succeeded, verdict = self._call("refuses", self._strategy.refuses, task)
        if succeeded and type(verdict) is not bool:
            self._fault("refuses", None, f"returned {_short(verdict)}, which is neither True nor False")
        return verdict is True

    def served(self, task: Task, seconds: float) -> None:
        self._call("served", self._strategy.served, task, seconds)

    def learned(self) -> Sequence[tuple[str, str, float, float]]:
        succeeded, rows = self._call("learned", self._read_learned)
        if succeeded and not all(map(is_learned, rows)):
            self._fault("learned", None, "returned rows that are not (str, str, float, float) with finite numbers")
        return [row for row in rows or () if is_learned(row)]

    def _read_learned(self) -> list[object]:
        return list(islice(self._strategy.learned(), MOST_LEARNED))

    def abstained(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        """The strategy has left a task waiting although all workers are idle, so nothing would ever change. Returns the
        choice of the default strategy."""
        self._fault("pick", None, "returned None although all workers are idle")
        return self._default.pick(task, inboxes)

    def _call(self, name: str, method: Callable[..., Any], *arguments: Any) -> tuple[bool, Any]:
        """Return (whether the call succeeded in time, its result)."""
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
        if took > SLOW_NS:
            self._fault(name, None, f"took {took / 1e9:.1f} s")
            return False, None
        return True, answer

    def _fault(self, name: str, error: BaseException | None, what: str = "") -> None:
        """Count a fault; log the first of each kind."""
        self._row[FAULTS] += 1
        raised = type.__getattribute__(type(error), "__name__")  # the class may have a metaclass of the user's
        kind = f"{name} raised {raised}" if error else f"{name} {what.split(' ', maxsplit=1)[0]}"
        if kind in self._logged:
            return
        self._logged.add(kind)
        said, shown = (f"raised {raised}: {_said(error)}", _traceback(error)) if error else (what, "")
        instead = f"; {INSTEAD[name]}" if name in INSTEAD else ""
        log.error(
            "the strategy %s: %s %s%s (logged once, counted each time)%s",
            self._name,
            name,
            said,
            instead,
            shown,
        )


def _said(error: BaseException) -> str:
    """The message of an exception, cut to MESSAGE_CHARACTERS. Its ``__str__`` is the user's code too, and may raise."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001  # as above
        return "(no message: its __str__ raises)"
    return text if len(text) <= MESSAGE_CHARACTERS else f"{text[:MESSAGE_CHARACTERS]}..."


def _traceback(error: BaseException) -> str:
    """The traceback of an exception, its last TRACEBACK_CHARACTERS; without the messages if one of them raises."""
    try:
        text = "".join(traceback.format_exception(error)).rstrip()
    except BaseException:  # noqa: BLE001  # as above: formatting calls __str__ of each exception
        text = "".join(traceback.format_tb(error.__traceback__)).rstrip()
    return f"\n{text if len(text) <= TRACEBACK_CHARACTERS else f'...{text[-TRACEBACK_CHARACTERS:]}'}"


def _short(answer: object) -> str:
    """A short text for a result in the log; the result's own class, or repr, might raise or be endless."""
    if type(answer) is str:
        return repr(answer[:60])
    if type(answer) in (bool, InboxView, float, type(None)) or (type(answer) is int and abs(answer) < 1 << 64):
        return repr(answer)
    return f"an object of type {type.__getattribute__(type(answer), '__name__')}"
