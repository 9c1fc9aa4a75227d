"""The queue of a front: how much workers get ahead, and what becomes of requests that wait. With a fake clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from harness.front_rig import Client, FrontRig
from harness.phase_rig import row
from harness.process_front_rig import GET, ProcessFrontRig

from poolctl.runtime.ownership.half_sync_half_reactive.front_thread import ThreadLendingFront
from poolctl.runtime.queue_view import NO_LIMIT, ClassLimits
from poolctl.runtime.routing.classes import ClassRule, ClassTable
from poolctl.runtime.routing.flow import FLOW_SECONDS
from poolctl.runtime.routing.overload import OVERLOADED, PATIENCE_TARGETS, OverloadLimits
from poolctl.runtime.scoreboard import DONE, LEAVING, READY, SENT, STATE, TAKEN, WAITING
from poolctl.runtime.serving.phases import ANSWERING, CLOSED, IDLE

TARGET = 0.1
STEP = TARGET / 4
PATIENCE = PATIENCE_TARGETS * TARGET


class Rig:
    """A front with one worker, which gets one task at a time."""

    def __init__(self, made: FrontRig) -> None:
        self.made = made
        self.front: Any = made.front
        self.router = made.router
        made.workers[0][STATE] = READY
        self.front.bound_by(OverloadLimits(target=TARGET))
        self.front.queue.flow.service = STEP  # as measured before
        self.front.queue.measure()
        assert self.router.queue.most == 1

    def ask(self) -> Client:
        client = self.made.client()
        client.send(GET)
        return client

    @property
    def overloaded(self) -> bool:
        overload = self.router.queue.plain.overload
        return overload is not None and overload.state is OVERLOADED

    def flood(self) -> None:
        """More clients come than are answered, until that is an overload."""
        for _ in range(round((TARGET + PATIENCE) / STEP) + 3):
            self.ask()
            self.past(STEP)

    def past(self, seconds: float, *, serves: bool = True) -> None:
        """Let time pass, with looks at the queue as often as a front has them; the worker finishes other tasks."""
        inbox = self.router.inboxes[0]
        for _ in range(round(seconds / STEP)):
            inbox.row[SENT] += serves
            inbox.workers[0][DONE] += serves
            self.made.clock.now += STEP
            self.front.now = self.made.clock.now
            self.front.after_events(None)

    def answer(self, client: Client) -> None:
        """The worker gives a connection back."""
        self.front.returned(client.ticket, True)

    @property
    def waiting(self) -> int:
        assert self.router.row[WAITING] == len(self.router.queue)
        return len(self.router.queue)


@pytest.fixture(params=["process", "thread"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    made = (
        ProcessFrontRig(limit=100, waiting=100, tasks=100)
        if request.param == "process"
        else FrontRig(ThreadLendingFront, limit=100, waiting=100, tasks=100)
    )
    yield Rig(made)
    made.close()


def test_a_worker_gets_so_many_and_the_others_wait(rig: Rig) -> None:
    clients = [rig.ask() for _ in range(4)]
    assert rig.waiting == 3
    assert [client.phase for client in clients] == [ANSWERING] * 4
    for left in (2, 1, 0):
        rig.answer(clients[2 - left])
        assert rig.waiting == left
    assert rig.router.inboxes[0].load == 4


def test_without_a_bound_nothing_waits_here(rig: Rig) -> None:
    rig.ask()
    rig.ask()
    assert rig.waiting == 1
    rig.front.bound_by(None)
    assert rig.waiting == 0
    assert rig.router.queue.most == NO_LIMIT
    rig.ask()
    assert rig.waiting == 0


def test_in_an_overload_the_newest_go_first_and_the_late_are_refused(rig: Rig) -> None:
    served, early = rig.ask(), rig.ask()
    rig.flood()
    assert rig.overloaded
    assert early.phase is IDLE
    head = early.read()
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: " in head
    assert 0 < rig.waiting <= TARGET / STEP + 1
    left = rig.waiting
    newest = rig.ask()
    rig.answer(served)
    assert rig.waiting == left
    assert newest.phase is ANSWERING
    assert id(newest.connection) not in [entry.connection for entry in rig.router.queue]


def test_an_overload_that_comes_back_is_noticed_sooner(rig: Rig) -> None:
    rig.ask()
    rig.flood()
    assert rig.overloaded
    rig.past(2 * TARGET)
    assert rig.waiting == 0
    assert not rig.overloaded
    again = rig.ask()
    rig.past(2 * TARGET + 3 * STEP)
    assert again.phase is IDLE


def test_a_burst_is_served_in_full_and_in_order(rig: Rig) -> None:
    clients = [rig.ask() for _ in range(5)]
    for client in clients:
        rig.past(2 * TARGET - STEP)
        rig.answer(client)
        assert client.phase is not CLOSED
    assert rig.waiting == 0


@pytest.mark.parametrize("ends", ["reset", "end"])
def test_a_client_that_has_left_costs_no_worker(rig: Rig, ends: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reset always counts, the end of one side only in an overload."""
    served, gone = rig.ask(), rig.ask()
    rig.past(TARGET)
    if ends == "reset":
        gone.sock.close()  # of a unix socket: a hang-up
        monkeypatch.setattr(
            "poolctl.runtime.ownership.half_sync_half_reactive.bounded_queue.left", lambda events, peer: bool(events)
        )
    else:
        gone.end()
    rig.answer(served)
    assert (gone.phase is CLOSED) is (ends == "reset")
    assert rig.router.inboxes[0].load == (1 if ends == "reset" else 2)
    assert rig.waiting == 0


def test_in_an_overload_an_end_of_file_means_that_the_client_has_given_up(rig: Rig) -> None:
    served = rig.ask()
    rig.flood()
    gone = rig.ask()
    gone.end()
    rig.past(2 * STEP)
    rig.answer(served)
    assert rig.overloaded
    assert gone.phase is CLOSED
    assert not gone.read()


def test_while_no_worker_is_there_nothing_is_refused(rig: Rig) -> None:
    rig.ask()
    client = rig.ask()
    rig.router.left(0)
    rig.past(10 * PATIENCE)
    assert client.phase is ANSWERING
    assert rig.waiting == 1


def test_requests_that_waited_for_a_worker_to_come_back_have_time(rig: Rig) -> None:
    rig.ask()
    client = rig.ask()
    rig.router.left(0)
    rig.past(10 * PATIENCE)
    rig.router.joined(0)
    rig.past(PATIENCE)
    assert client.phase is ANSWERING
    rig.past(2 * TARGET)
    assert client.phase is IDLE


def test_when_requests_take_less_time_more_of_them_lie_ready(rig: Rig) -> None:
    for _ in range(5):
        rig.ask()
    rig.past(2 * FLOW_SECONDS)
    assert rig.waiting == 4
    inbox = rig.router.inboxes[0]
    inbox.row[SENT] += 10_000
    inbox.workers[0][DONE] += 10_000
    rig.past(2 * FLOW_SECONDS)
    assert rig.router.queue.most > 5
    assert rig.waiting == 0


def test_what_a_leaving_worker_has_takes_no_place(rig: Rig) -> None:
    """As long as it answers a long request, another worker is ready in its place."""
    more = row()
    rig.front.queue.flow._rows.append(more)
    rig.ask()
    rig.made.workers[0][TAKEN] += 1
    waits = rig.ask()
    rig.past(2 * FLOW_SECONDS)
    assert rig.waiting == 1
    rig.made.workers[0][STATE] = LEAVING
    rig.made.workers[0][TAKEN] = rig.made.workers[0][DONE] + 1
    more[STATE] = READY
    rig.past(2 * FLOW_SECONDS, serves=False)
    assert rig.waiting == 0
    assert waits.phase is ANSWERING


def test_with_classes_tasks_wait_here_whatever_bounds_their_time(rig: Rig) -> None:
    rule = ClassRule(kind="/login", limits=ClassLimits(reserve=1), path="/login")
    rig.front.classify_by(ClassTable([rule]))
    rig.front.bound_by(None)
    assert rig.router.queue.most == 1
    rig.ask()
    rig.ask()
    assert rig.waiting == 1


def test_what_is_reserved_is_kept_before_the_workers_have_been_counted(rig: Rig) -> None:
    rig.router.queue.slots = 0
    rig.front.classify_by(ClassTable([ClassRule(kind="/login", limits=ClassLimits(reserve=1), path="/login")]))
    rig.front.queue.expect_all()
    assert rig.router.queue.slots == sum(len(inbox.slots) for inbox in rig.router.inboxes)
