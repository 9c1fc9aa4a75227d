"""Tasks that stay in an inbox: which worker is late, and who gets its tasks."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from harness.phase_rig import PEER, row

from poolctl.runtime.affinity.request import Request
from poolctl.runtime.channels.inbox import Inbox, ProcessInbox
from poolctl.runtime.dispatch.round_robin import RoundRobin
from poolctl.runtime.ownership.half_sync_half_reactive.untaken import LATE_SECONDS, OFFER_AGAIN_SECONDS, Computing
from poolctl.runtime.routing.router import Router
from poolctl.runtime.scoreboard import DONE, TAKEN


class Two:
    """Two workers with an inbox each, watched. ``reclaimed``: the inboxes whose tasks went elsewhere."""

    def __init__(self) -> None:
        self.workers = [row(), row()]
        self.inboxes = [ProcessInbox(number, row(), [worker]) for number, worker in enumerate(self.workers)]
        self.router = Router(RoundRobin(), Request(), self.inboxes, 100)
        self.reclaimed: list[int] = []
        rooms: Any = SimpleNamespace(wait_for=lambda full: None)  # none of these inboxes is ever full
        self.untaken = Computing(self.router, rooms, self._reclaim)

    def _reclaim(self, inbox: Inbox) -> None:
        self.reclaimed.append(inbox.index)

    def send(self) -> int:
        """Route a task; the index of its inbox."""
        before = [inbox.load for inbox in self.inboxes]
        self.router.route(PEER, 0.0, 0, b"x")
        return next(inbox.index for inbox, load in zip(self.inboxes, before, strict=True) if inbox.load > load)

    def take(self, index: int) -> None:
        """A worker takes a task."""
        self.inboxes[index].take()
        self.workers[index][TAKEN] += 1

    def finish(self, index: int) -> None:
        """A worker finishes one."""
        self.workers[index][DONE] += 1

    def close(self) -> None:
        for inbox in self.inboxes:
            inbox.writer.close()
            inbox.reader.close()


@pytest.fixture
def two() -> Iterator[Two]:
    """The first worker has a task in flight, and another in its inbox; the second has nothing."""
    made = Two()
    for _ in range(4):
        made.send()
    made.take(0)
    for _ in range(2):
        made.take(1)
        made.finish(1)
    made.untaken.look(100.0)
    yield made
    made.close()


def test_a_worker_that_takes_nothing_loses_its_tasks(two: Two) -> None:
    two.untaken.look(100.0 + LATE_SECONDS)
    assert two.reclaimed == []
    two.untaken.look(100.0 + 2 * LATE_SECONDS)
    assert two.reclaimed == [0]
    assert not two.untaken.quiet


def test_a_worker_that_goes_on_keeps_them(two: Two) -> None:
    two.send()
    two.send()
    for turn in range(1, 4):
        if turn == 2:
            two.take(0)
        two.untaken.look(100.0 + turn * LATE_SECONDS * 0.75)
    assert two.reclaimed == []


def test_a_worker_with_nothing_in_flight_only_waits_for_a_core(two: Two) -> None:
    two.finish(0)
    two.untaken.look(100.0 + 2 * LATE_SECONDS)
    assert two.reclaimed == []


def test_where_the_other_is_busy_too_they_stay(two: Two) -> None:
    while two.send() != 1:
        pass
    two.take(1)
    two.untaken.look(100.0 + 2 * LATE_SECONDS)
    assert two.reclaimed == []


@pytest.mark.parametrize("moves", [False, True])
def test_a_late_worker_gets_tasks_again_when_it_goes_on_or_after_a_while(two: Two, moves: bool) -> None:
    late = 100.0 + 2 * LATE_SECONDS
    two.untaken.look(late)
    two.untaken.look(late + LATE_SECONDS)
    assert [two.send() for _ in range(3)] == [1, 1, 1]
    if moves:
        two.finish(0)
    two.untaken.look(late + (2 * LATE_SECONDS if moves else OFFER_AGAIN_SECONDS + LATE_SECONDS))
    assert 0 in {two.send() for _ in range(2)}


def test_it_is_quiet_when_nothing_waits(two: Two) -> None:
    two.take(0)
    two.untaken.look(100.0 + LATE_SECONDS)
    assert two.untaken.quiet
