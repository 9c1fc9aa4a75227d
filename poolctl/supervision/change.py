"""A change of values that the processes of a generation take while they run, in its mold: all of them, or none.

    supervisor --Order change--> mold --PREPARE--> each process    makes what the values need, and changes nothing
                                  ^ <-- PREPARE ---+               that it can, or why it cannot
                                  |
                                  +---- TAKE ----> each process    once all can, and the mold itself has taken them
    supervisor <--Report changed--+ <-- TAKE ------+               it has

    PREPARING --> TAKING --> over
        |            +-- a process does not answer in time: some have the new values
        +-- a process cannot, or does not answer in time: none has them

The mold takes the values before it says TAKE, so every process that it forks afterwards has them, and before that it
waits until no process is starting: so none is missed, and none gets values while it makes its loops. A process that
dies meanwhile is not waited for; one that leaves keeps the old values until it has left.

What follows if it fails is decided by the supervisor (reload.py): a new generation. Times are monotonic seconds.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from enum import Enum

from poolctl.runtime.lifeline import PREPARE, TAKE, Take, described
from poolctl.supervision.child import Child
from poolctl.supervision.plan import Plan
from poolctl.supervision.roster import Order

CHANGE_SECONDS = 5.0  # seconds in which all processes take a change, unless they are stuck


class ChangeStep(Enum):
    """What is under way."""

    PREPARING = "preparing"
    TAKING = "taking"
    OVER = "over"


class ValueChange:
    """One order to change values. ``failure``: why it was given up; ``deadline``: when it is given up."""

    def __init__(self, order: Order, plan: Plan, children: Sequence[Child], now: float) -> None:
        self._number, self._values = order.number, base64.b64decode(order.change)
        self._plan, self._children = plan, children
        self.step = ChangeStep.PREPARING
        self.failure = ""
        self.deadline = now + CHANGE_SECONDS
        self._asked: dict[int, Child] = {}  # by pid: processes that have been asked
        self._answered: set[int] = set()  # pids of those that have answered
        self._deaf: set[int] = set()  # pids of those that have closed their channel: they are ending, or never answer
        self._take: Take

    def begin(self) -> None:
        """Prepare the mold itself."""
        try:
            self._take = self._plan.prepare(self._values)
        except BaseException as error:  # noqa: BLE001  # a plugin of the topology may raise anything
            self.give_up(described(error))

    def give_up(self, why: str) -> None:
        """End it without success."""
        self.step, self.failure = ChangeStep.OVER, why

    @property
    def watched(self) -> list[int]:
        """The descriptors on which answers arrive."""
        return [child.channel for child in self._waited_for if child.pid not in self._deaf]

    @property
    def _waited_for(self) -> list[Child]:
        """The processes that live, and have been asked and not answered."""
        return [each for pid, each in self._asked.items() if each.pid == pid and pid not in self._answered]

    def turn(self, now: float) -> bool:
        """Go on as far as possible. Called in each turn of the mold, after it has reaped and has taken reports. Returns
        whether the mold itself has taken the values in this turn."""
        self._hear()
        if self.step is ChangeStep.PREPARING and not (self._ask() or self._waited_for):
            self._take_all()
            return True
        if self.step is ChangeStep.TAKING and not self._waited_for:
            self.step = ChangeStep.OVER
        elif self.step is not ChangeStep.OVER and now >= self.deadline:
            late = self._waited_for or [child for child in self._children if child.pid and child.ready is None]
            names = ", ".join(f"{child.name} (pid {child.pid})" for child in late)
            what = "prepare the new values" if self.step is ChangeStep.PREPARING else "take the new values"
            self.give_up(f"{names} did not {what} within {CHANGE_SECONDS:g} s")
        return False

    def _ask(self) -> bool:
        """Ask the processes that have not been asked. Returns whether one of them is still starting."""
        starting = False
        for child in self._children:
            if not child.pid or child.told or child.asked or child.pid in self._asked:
                continue
            if child.ready is None:
                starting = True
            else:
                self._say(child, PREPARE, self._values)
        return starting

    def _take_all(self) -> None:
        """Take the values here, and have all processes take them."""
        self.step = ChangeStep.TAKING
        self._take(lambda: None)
        asked, self._asked, self._answered, self._deaf = self._asked, {}, set(), set()
        for pid, child in asked.items():
            if child.pid == pid:
                self._say(child, TAKE)

    def _say(self, child: Child, word: int, text: bytes = b"") -> None:
        self._asked[child.pid] = child
        if not child.say(word, self._number, text):
            self._deaf.add(child.pid)

    def _hear(self) -> None:
        awaited = PREPARE if self.step is ChangeStep.PREPARING else TAKE
        for child in [child for child in self._waited_for if child.pid not in self._deaf]:
            while (answer := child.answer()) is not None:
                word, number, text = answer
                if (word, number) != (awaited, self._number):
                    continue  # of an earlier change, which was given up
                self._answered.add(child.pid)
                if text:
                    self.give_up(f"{child.name} (pid {child.pid}): {text}")
