"""A change of values in a mold, with real channels: who is asked, who is waited for, and how it ends."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator

import pytest

from poolctl.errors import PoolctlError
from poolctl.runtime.lifeline import PREPARE, SAID, TAKE, Take
from poolctl.runtime.role import Role
from poolctl.supervision.change import CHANGE_SECONDS, ChangeStep, ValueChange
from poolctl.supervision.child import Child, Pipes
from poolctl.supervision.plan import Plan
from poolctl.supervision.roster import Order

VALUES = b"new values"
NOW = 100.0


class Taking(Plan):
    """``fails``: why the mold itself cannot take the values."""

    name, drain = "shop", 1.0

    def __init__(self) -> None:
        self.roles = []
        self.owned = set()
        self.taken: list[bytes] = []
        self.fails = ""

    def prepare(self, change: bytes) -> Take:
        if self.fails:
            raise PoolctlError(self.fails)

        def take(done: Callable[[], None]) -> None:
            self.taken.append(change)
            done()

        return take

    def died(self, role: Role, pid: int) -> None:
        """It does not matter here."""

    def close_for(self, stage: int) -> None:
        """It does not matter here."""


class Rig:
    """Three processes that the test plays: it reads the messages for each, and answers. The last has not started."""

    def __init__(self) -> None:
        self.plan = Taking()
        self.ends: dict[int, int] = {}  # the processes' ends of their channels, by pid
        self.children = [Child(Role(f"worker {n}", f"poolctl: w {n}", print, frozenset(), 1, (n,))) for n in range(3)]
        for number in range(2):
            self.start(number, 1000 + number, ready=True)
        self.change = ValueChange(
            Order(7, "change", change=base64.b64encode(VALUES).decode()), self.plan, self.children, NOW
        )

    def start(self, number: int, pid: int, *, ready: bool) -> None:
        pipes = Pipes()
        self.ends[pid], ours = pipes.channel()
        child = self.children[number]
        child.started(pid, NOW, channel=ours)
        child.ready = NOW if ready else None

    def die(self, number: int) -> None:
        os.close(self.ends.pop(self.children[number].pid))
        self.children[number].exited(NOW)

    def hears(self, pid: int) -> tuple[int, int, bytes]:
        message = os.read(self.ends[pid], 100_000)
        return *SAID.unpack_from(message), message[SAID.size :]

    def says(self, pid: int, word: int, number: int = 7, text: bytes = b"") -> None:
        os.write(self.ends[pid], SAID.pack(word, number) + text)

    def turn(self, now: float = NOW) -> ChangeStep:
        self.change.turn(now)
        return self.change.step

    def close(self) -> None:
        for end in self.ends.values():
            os.close(end)
        for child in self.children:
            if child.channel >= 0:
                os.close(child.channel)


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.close()


def prepare_all(rig: Rig) -> None:
    rig.change.begin()
    rig.turn()
    for pid in (1000, 1001):
        assert rig.hears(pid) == (PREPARE, 7, VALUES)
        rig.says(pid, PREPARE)


def test_all_take_the_values_once_all_can(rig: Rig) -> None:
    rig.change.begin()
    assert rig.turn() is ChangeStep.PREPARING
    assert set(rig.change.watched) == {rig.children[0].channel, rig.children[1].channel}
    assert rig.hears(1000) == rig.hears(1001) == (PREPARE, 7, VALUES)
    rig.says(1000, PREPARE)
    assert rig.turn() is ChangeStep.PREPARING
    assert rig.plan.taken == []
    rig.says(1001, PREPARE)
    assert rig.change.turn(NOW)  # the mold has them
    assert rig.plan.taken == [VALUES]
    assert rig.hears(1000) == rig.hears(1001) == (TAKE, 7, b"")
    rig.says(1001, TAKE)
    assert rig.turn() is ChangeStep.TAKING
    rig.says(1000, TAKE)
    assert rig.turn() is ChangeStep.OVER
    assert rig.change.failure == ""


def test_if_one_cannot_none_does(rig: Rig) -> None:
    rig.change.begin()
    rig.turn()
    rig.says(1001, PREPARE, text=b"ValueError: no")
    assert rig.turn() is ChangeStep.OVER
    assert rig.change.failure == "w 1 (pid 1001): ValueError: no"
    assert rig.plan.taken == []
    assert rig.hears(1000)[0] == PREPARE
    os.set_blocking(rig.ends[1000], False)
    with pytest.raises(BlockingIOError):
        rig.hears(1000)


def test_if_the_mold_cannot_nobody_is_asked(rig: Rig) -> None:
    rig.plan.fails = "shop.py has changed since it was loaded"
    rig.change.begin()
    assert rig.change.step is ChangeStep.OVER
    assert rig.change.failure == "shop.py has changed since it was loaded"


def test_a_process_that_starts_is_waited_for_and_asked(rig: Rig) -> None:
    rig.start(2, 1002, ready=False)
    prepare_all(rig)
    assert rig.turn() is ChangeStep.PREPARING
    rig.children[2].ready = NOW
    assert rig.turn() is ChangeStep.PREPARING
    assert rig.hears(1002) == (PREPARE, 7, VALUES)
    rig.says(1002, PREPARE)
    assert rig.turn() is ChangeStep.TAKING


def test_one_that_dies_is_not_waited_for(rig: Rig) -> None:
    rig.change.begin()
    rig.turn()
    rig.says(1000, PREPARE)
    rig.die(1)
    assert rig.turn() is ChangeStep.TAKING
    rig.start(1, 2001, ready=False)  # forked by a mold that has the values
    assert rig.hears(1000)[0] == PREPARE
    rig.die(0)
    assert rig.turn() is ChangeStep.OVER
    assert rig.change.failure == ""


def test_one_that_leaves_is_not_asked(rig: Rig) -> None:
    leaver, rig.children[1].leaver = os.pipe()
    rig.children[1].tell_to_leave(NOW + 10)
    rig.change.begin()
    rig.turn()
    assert rig.change.watched == [rig.children[0].channel]
    os.close(leaver)


@pytest.mark.parametrize("late", ["prepare", "take"])
def test_one_that_does_not_answer_ends_it(rig: Rig, late: str) -> None:
    prepare_all(rig)
    if late == "prepare":
        rig.start(2, 1002, ready=True)
        assert rig.turn() is ChangeStep.PREPARING
        who = "w 2 (pid 1002)"
    else:
        assert rig.turn() is ChangeStep.TAKING
        rig.says(1000, TAKE)
        who = "w 1 (pid 1001)"
    assert rig.turn(NOW + CHANGE_SECONDS - 0.1) is not ChangeStep.OVER
    assert rig.turn(NOW + CHANGE_SECONDS) is ChangeStep.OVER
    assert rig.change.failure == f"{who} did not {late} the new values within 5 s"


def test_one_that_has_closed_its_channel_never_answers(rig: Rig) -> None:
    """An app may close what is not its own."""
    os.close(rig.ends.pop(1001))
    rig.change.begin()
    rig.turn()
    assert rig.change.watched == [rig.children[0].channel]  # its own would wake the mold again and again
    rig.says(1000, PREPARE)
    assert rig.turn(NOW + CHANGE_SECONDS) is ChangeStep.OVER
    assert "w 1 (pid 1001) did not prepare" in rig.change.failure


def test_answers_to_an_earlier_change_do_not_count(rig: Rig) -> None:
    rig.change.begin()
    rig.turn()
    for pid in (1000, 1001):
        rig.says(pid, PREPARE, number=6, text=b"late")
        rig.says(pid, TAKE)
    assert rig.turn() is ChangeStep.PREPARING
