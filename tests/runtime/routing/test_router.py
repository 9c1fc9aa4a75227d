"""From a task to an inbox, with real inboxes: what affinity binds, and what happens when there is no room."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import pytest

from poolctl.runtime import scoreboard
from poolctl.runtime.affinity import Affinity
from poolctl.runtime.affinity.client import Client
from poolctl.runtime.affinity.connection import Connection
from poolctl.runtime.affinity.path import Path
from poolctl.runtime.affinity.request import Request
from poolctl.runtime.channels.inbox import AT_ONCE, END, Inbox, ProcessInbox
from poolctl.runtime.dispatch.round_robin import RoundRobin
from poolctl.runtime.dispatch.shared_queue import SharedQueue
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.routing.gradient import FIRST_LIMIT, WINDOW_SAMPLES, Gradient
from poolctl.runtime.routing.router import Router, Waiting
from poolctl.runtime.scoreboard import DONE, TAKEN, Scoreboard
from poolctl.runtime.task import Peer, Task

BULK = b"x" * 60000
LIMIT = 100000


def peer(host: str) -> Peer:
    return Peer(host, "4711", "127.0.0.1", "80")


@dataclass
class Ways:
    """A router and its inboxes."""

    router: Router
    inboxes: list[ProcessInbox]

    def send(self, host: str = "127.0.0.1", connection: int = 0, item: bytes = b"x") -> int | None:
        """The index of the inbox that the task went into; None where it waits in the router."""
        before = [inbox.load for inbox in self.inboxes]
        self.router.route(peer(host), 0.0, connection, item, noted=not self.router.unnoted)
        grown = [inbox.index for inbox, load in zip(self.inboxes, before, strict=True) if inbox.load > load]
        return grown[0] if grown else None

    def empty(self, index: int) -> int:
        """Take everything out of an inbox; how many there were."""
        inbox = self.inboxes[index]
        count = inbox.waiting
        for _ in range(count):
            inbox.take()
            inbox.workers[0][TAKEN] += 1
        return count


@pytest.fixture
def made() -> Iterator[list[ProcessInbox]]:
    board = Scoreboard(3, 3)
    inboxes = [ProcessInbox(index, board.inbox(index), [board.worker(index)]) for index in range(3)]
    yield inboxes
    for inbox in inboxes:
        inbox.reader.close()
        inbox.writer.close()


def ways(made: list[ProcessInbox], affinity: Affinity, limit: int = LIMIT) -> Ways:
    return Ways(Router(RoundRobin(), affinity, made, limit), made)


def test_request_binds_nothing(made: list[ProcessInbox]) -> None:
    way = ways(made, Request())
    assert [way.send(connection=7) for _ in range(6)] == [0, 1, 2, 0, 1, 2]


def test_a_connection_stays_until_it_is_closed(made: list[ProcessInbox]) -> None:
    way = ways(made, Connection())
    assert [way.send(connection=each) for each in (7, 8, 7, 9, 8, 7)] == [0, 1, 0, 2, 1, 0]
    way.router.forget(8)
    assert [way.send(connection=each) for each in (8, 7, 8)] == [0, 0, 0]


def test_a_client_stays_over_its_connections(made: list[ProcessInbox]) -> None:
    way = ways(made, Client())
    hosts = ["10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.3", "10.0.0.2"]
    assert [way.send(host, connection) for connection, host in enumerate(hosts)] == [0, 1, 0, 2, 1]


def test_the_client_unused_longest_is_forgotten(made: list[ProcessInbox]) -> None:
    way = ways(made, Client(clients=2))
    assert [way.send(host) for host in ("a", "b", "a", "c", "a", "b")] == [0, 1, 0, 2, 0, 0]


def test_one_that_is_full_is_passed_over_until_it_has_room(made: list[ProcessInbox]) -> None:
    way = ways(made, Request())
    met = [way.send(item=BULK) for _ in itertools.takewhile(lambda _: way.router.empty, range(1000))]
    assert met[-1] is None
    assert {inbox.waiting for inbox in made} == {len(met) // 3}
    way.empty(1)
    assert way.router.room(1) == []
    assert way.router.empty
    assert made[1].waiting == 1
    assert way.send() == 1


def test_what_is_bound_to_a_full_inbox_waits_for_it_and_stops_nobody_else(made: list[ProcessInbox]) -> None:
    way = ways(made, Connection())
    sent = [way.send(connection=7, item=BULK) for _ in itertools.takewhile(lambda _: way.router.empty, range(1000))]
    assert sent.count(0) == len(sent) - 1
    assert [way.send(connection=each) for each in (8, 9, 7, 8)] == [1, 2, None, 1]
    way.empty(0)
    assert way.router.room(0) == []
    assert made[0].waiting == 2
    assert way.send(connection=7) == 0


def test_what_waits_anywhere_is_bounded(made: list[ProcessInbox]) -> None:
    way = ways(made, Request(), limit=4)
    for _ in range(4):
        assert way.router.free > 0
        way.send()
    assert way.router.free == 0
    way.empty(0)
    assert way.router.free > 0


def test_what_is_bound_to_a_full_inbox_of_a_dead_worker_waits_for_its_successor(made: list[ProcessInbox]) -> None:
    way = ways(made, Client())
    assert way.send("a") == 0
    way.router.left(0)
    full: list[ProcessInbox] = []
    for _ in itertools.takewhile(lambda _: way.router.empty, range(1000)):
        full += way.router.route(peer("a"), 0.0, 0, BULK)  # type: ignore[arg-type]
    assert full == [made[0]]  # so that somebody waits for room in it
    assert way.router.joined(0) == []
    way.empty(0)
    assert way.router.room(0) == []
    assert way.router.empty
    assert made[0].waiting == 1


@pytest.mark.parametrize("back", ["joined", "offer_again"])
def test_a_full_inbox_is_not_on_offer_before_it_has_room(made: list[ProcessInbox], back: str) -> None:
    way = ways(made, Request())
    while way.router.empty:  # inbox 0 is full first: the others are emptied
        full = way.router.route(peer("a"), 0.0, 0, BULK)
        if full:
            break
        way.empty(1)
        way.empty(2)
    assert full == [made[0]]
    way.empty(1)
    way.empty(2)
    if back == "joined":
        way.router.left(0)
    assert getattr(way.router, back)(0) == []
    assert 0 not in {way.send() for _ in range(4)}
    way.empty(0)
    assert way.router.room(0) == []
    assert 0 in {way.send() for _ in range(3)}


def test_nobody_gets_the_tasks_of_a_dead_worker_but_those_that_remain(made: list[ProcessInbox]) -> None:
    way = ways(made, Request())
    way.router.left(1)
    assert [way.send() for _ in range(4)] == [0, 2, 0, 2]
    assert way.router.joined(1) == []
    assert 1 in {way.send() for _ in range(3)}


def test_where_all_are_dead_the_last_inbox_keeps_the_tasks_for_its_successor(made: list[ProcessInbox]) -> None:
    way = ways(made, Request())
    for index in range(3):
        way.router.left(index)
    assert [way.send() for _ in range(2)] == [2, 2]
    assert way.router.empty


@pytest.mark.parametrize("forgets", [False, True])
def test_whether_a_dead_workers_keys_are_forgotten(made: list[ProcessInbox], forgets: bool) -> None:
    way = ways(made, Path() if forgets else Client())
    request = HttpRequest("GET", b"/a", "1.1", [], True, None)

    def send() -> None:
        way.router.route(peer("a"), 0.0, 0, b"x", asked=request)

    send()
    way.router.left(0)
    send()
    assert [inbox.waiting for inbox in made] == ([1, 1, 0] if forgets else [2, 0, 0])


def test_an_inbox_is_withdrawn_only_if_another_takes_tasks_at_once(made: list[ProcessInbox]) -> None:
    way = ways(made, Request())
    assert way.router.withdraw(0)
    assert [way.send() for _ in range(2)] == [1, 2]
    assert not way.router.withdraw(1)  # 2 has a task, and 0 is off the offer
    assert [way.send() for _ in range(2)] == [1, 2]
    assert way.router.offer_again(0) == []
    assert 0 in {way.send() for _ in range(3)}


def test_an_inbox_without_a_worker_is_not_offered_again(made: list[ProcessInbox]) -> None:
    way = ways(made, Request())
    way.router.left(0)
    assert way.router.offer_again(0) == []
    assert 0 not in {way.send() for _ in range(4)}


def test_tasks_are_put_back_before_those_that_came_later(made: list[ProcessInbox]) -> None:
    queue = Router(SharedQueue(), Request(), made, LIMIT)
    for number in range(5):  # one for each worker; two wait in the front
        queue.route(peer("a"), 0.0, number, b"%d" % number)
    assert [entry.item for entry in queue.queue] == [b"3", b"4"]
    back = [Waiting(Task(peer("a")), number, b"%d" % number, (), -1) for number in (1, 2)]
    queue.put_back(back)
    assert [entry.item for entry in queue.queue] == [b"1", b"2", b"3", b"4"]
    made[0].take()
    made[0].workers[0][TAKEN] += 1
    made[0].workers[0][DONE] += 1
    assert queue.retry() == []
    assert made[0].take()[0] == b"1"


def test_a_lost_task_goes_elsewhere_and_its_key_goes_along(made: list[ProcessInbox]) -> None:
    way = ways(made, Client())
    assert [way.send("a", 1), way.send("b", 2)] == [0, 1]
    with way.router.elsewhere(Task(peer("a"), 0.0), 1):
        assert [way.send("c", number) for number in (3, 4, 5)] == [2, 2, 2]  # a client stays
        assert way.send("d", 6) == 1
        assert way.send("a", 1) == 2
    assert way.send("a", 7) == 2
    assert way.send("e", 8) == 0  # which is on offer again
    with way.router.elsewhere(Task(peer("b"), 0.0), 9):  # had no task
        assert way.send("b", 9) == 1


def test_a_lost_task_goes_to_the_only_inbox_on_offer(made: list[ProcessInbox]) -> None:
    way = ways(made, Connection())
    assert way.send(connection=1) == 0
    for index in (1, 2):
        way.router.left(index)
    with way.router.elsewhere(Task(peer("a"), 0.0), 1):
        assert way.send(connection=1) == 0
    way.router.left(0)
    with way.router.elsewhere(Task(peer("a"), 0.0), 1):
        assert way.send(connection=1) == 0
    way.router.joined(2)
    with way.router.elsewhere(Task(peer("a"), 0.0), 1):
        assert way.send(connection=1) == 2
    assert [way.send(connection=number) for number in (2, 3)] == [2, 2]  # the dead are not on offer again


def test_the_last_inbox_to_leave_is_on_offer_only_until_another_joins(made: list[ProcessInbox]) -> None:
    way = ways(made, Request())
    for index in range(3):
        way.router.left(index)
    assert [way.send() for _ in range(2)] == [2, 2]  # its successor serves them
    way.router.joined(1)
    assert [way.send() for _ in range(2)] == [1, 1]
    way.router.joined(2)
    assert {way.send() for _ in range(2)} == {1, 2}


def test_an_inbox_that_fills_while_a_lost_task_goes_elsewhere(made: list[ProcessInbox]) -> None:
    way = ways(made, Request())
    assert way.send(connection=1) == 0
    way.router.left(1)
    way.router.left(2)
    with way.router.elsewhere(Task(peer("a"), 0.0), 1):
        while way.send(connection=1, item=BULK) is not None:
            pass
    assert len(way.router.queue) == 1
    assert way.send(connection=2) is None  # it is not on offer again before it has room
    way.empty(0)
    assert way.router.room(0) == []
    assert not way.router.queue


# a worker leaves while the others go on


def tasks(inbox: ProcessInbox) -> list[bytes]:
    """Everything that is in an inbox, ends too."""
    found = []
    with suppress(BlockingIOError):
        while message := inbox.take(AT_ONCE)[0]:
            found.append(message)
    return found


def test_the_end_of_a_worker_that_leaves_is_behind_its_tasks(made: list[ProcessInbox]) -> None:
    way = ways(made, Request())
    assert [way.send() for _ in range(3)] == [0, 1, 2]
    assert way.router.leaves(1, 4711, 2) == []
    assert tasks(made[1]) == [b"x", END.pack(4711), END.pack(4711)]
    assert [way.send() for _ in range(4)] == [0, 2, 0, 2]
    assert made[1].load == 1


def test_even_the_last_inbox_on_offer_is_offered_no_longer(made: list[ProcessInbox]) -> None:
    way = ways(made, Request())
    for index in (0, 1):
        way.router.left(index)
    way.router.leaves(2, 1, 1)
    assert way.send() is None
    assert len(way.router.queue) == 1
    assert way.router.joined(0) == []
    assert made[0].load == 1


@pytest.mark.parametrize("affinity", [Client(), Connection()], ids=["client", "connection"])
def test_what_was_bound_to_a_worker_that_leaves_is_bound_elsewhere(
    made: list[ProcessInbox], affinity: Affinity
) -> None:
    way = ways(made, affinity)
    assert [way.send("a", 1), way.send("b", 2)] == [0, 1]
    way.router.leaves(0, 1, 1)
    assert way.send("a", 1) == 2
    assert way.send("a", 1) == 2
    assert way.send("b", 2) == 1


def test_a_session_that_a_leaving_worker_begins_is_not_bound_to_it(made: list[ProcessInbox]) -> None:
    way = ways(made, Client())
    way.router.leaves(0, 1, 1)
    way.router.bind("127.0.0.9", 0)
    assert way.send("127.0.0.9") == 1


def test_a_full_inbox_ends_as_soon_as_it_has_room_and_its_held_tasks_go_elsewhere(made: list[ProcessInbox]) -> None:
    way = ways(made, Client())
    assert way.send("a") == 0
    full: list[ProcessInbox] = []
    while way.router.empty:
        full += way.router.route(peer("a"), 0.0, 0, BULK)  # type: ignore[arg-type]
    assert full == [made[0]]
    before = made[0].waiting
    assert way.router.leaves(0, 4711, 2) == []  # somebody waits for room in it already
    assert way.router.empty
    assert made[1].load + made[2].load == 1
    assert made[0].waiting == before
    assert END.pack(4711) not in tasks(made[0])
    assert way.router.room(0) == []
    assert tasks(made[0]) == [END.pack(4711)] * 2
    assert way.router.room(0) == []
    assert tasks(made[0]) == []


def test_a_worker_that_joins_again_gets_no_end_of_its_predecessor(made: list[ProcessInbox]) -> None:
    way = ways(made, Request())
    while made[0].put(BULK):
        pass
    assert way.router.leaves(0, 4711, 1) == [made[0]]
    assert way.router.joined(0) == []
    tasks(made[0])
    assert way.router.room(0) == []
    assert tasks(made[0]) == []
    assert 0 in {way.send() for _ in range(3)}


def test_a_queue_takes_back_the_tasks_of_a_worker_that_leaves(made: list[ProcessInbox]) -> None:
    queue = Router(SharedQueue(), Request(), made, LIMIT)
    for number in range(4):
        queue.route(peer("a"), 0.0, number, b"task %d of a queue" % number)

    def reclaim(inbox: Inbox) -> None:
        assert isinstance(inbox, ProcessInbox)
        queue.put_back(Waiting(Task(peer("a")), 0, message, (), -1) for message, _ in inbox.reclaim())

    queue.leaves(0, 4711, 1, reclaim)
    assert tasks(made[0]) == [END.pack(4711)]
    assert made[0].load == 0
    assert [entry.item for entry in queue.queue] == [b"task 0 of a queue", b"task 3 of a queue"]


class Listening(RoundRobin):
    """Records the calls of its hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, int]] = []

    def joined(self, inbox: InboxView) -> None:
        self.told.append(("joined", inbox.index))

    def left(self, inbox: InboxView) -> None:
        self.told.append(("left", inbox.index))


def test_a_strategy_is_told_once_of_each_that_leaves_and_of_none_that_never_joined(made: list[ProcessInbox]) -> None:
    strategy = Listening()
    router = Router(strategy, Request(), made, LIMIT, vacant=[2])
    router.left(1)  # it has died
    router.leaves(1, 0, 1)  # and is to leave,
    router.leaves(1, 4711, 1)  # as its successor is
    router.leaves(0, 4712, 1)
    router.joined(2)
    assert strategy.told == [("joined", 0), ("joined", 1), ("left", 1), ("left", 0), ("joined", 2)]


class First(RoundRobin):
    """Picks the first inbox that is on offer, and notes what it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, int]] = []

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        return inboxes[0]

    def joined(self, inbox: InboxView) -> None:
        self.heard.append(("joined", inbox.index))

    def finished(self, task: Task, inbox: InboxView, seconds: float) -> None:
        self.heard.append(("finished", inbox.index))


def test_another_strategy_chooses_from_now_on(made: list[ProcessInbox]) -> None:
    """It hears of the inboxes that have a worker, and nothing of the tasks of its predecessor."""
    all_ways = ways(made, Request())
    router = all_ways.router
    router.left(1)
    assert not router.observes
    router.route(peer("a"), 0.0, 1, b"1")
    first = First()
    assert router.choose_by(first) == []
    assert first.heard == [("joined", inbox.index) for inbox in made if inbox.index != 1]
    assert router.observes
    router.finished(1, 1.0)
    for number in (2, 3):
        router.route(peer("a"), 0.0, number, b"%d" % number)
        router.finished(number, 1.0)
    assert first.heard[-2:] == [("finished", 0), ("finished", 0)]
    router.choose_by(RoundRobin())
    assert not router.observes
    router.finished(3, 1.0)
    assert first.heard.count(("finished", 0)) == 2


def test_what_affinity_has_bound_stays_with_another_strategy(made: list[ProcessInbox]) -> None:
    router = ways(made, Client()).router
    for each in ("a", "b"):
        router.route(peer(each), 0.0, 1, each.encode())
    bound = dict(router._chosen)
    assert len(set(bound.values())) == 2
    router.choose_by(First())
    for each in ("b", "a"):
        router.route(peer(each), 0.0, 1, each.encode())
    assert router._chosen == bound


def test_another_limit_counts_from_now_on(made: list[ProcessInbox]) -> None:
    router = ways(made, Request(), limit=3).router
    for number in range(3):
        router.route(peer("a"), 0.0, number, b"x")
    assert router.free == 0
    router.limit_to(5)
    assert router.free == 2
    router.limit_to(1)
    assert router.free == -2


def test_numbers_without_a_worker_are_not_offered(made: list[ProcessInbox]) -> None:
    router = Router(RoundRobin(), Request(), made, LIMIT, vacant=[1, 2])
    way = Ways(router, made)
    assert [way.send() for _ in range(3)] == [0, 0, 0]
    router.joined(2)
    assert {way.send() for _ in range(2)} == {0, 2}


class Shift:
    """Workers that join, die and leave in any order while tasks come."""

    def __init__(self, made: list[ProcessInbox], seed: int) -> None:
        self.draw = Random(seed)
        self.way = ways(made, self.draw.choice([Request(), Client(), Connection()]))
        self.alive = {0, 1, 2}
        self.leaving: dict[int, int] = {}  # index: pid
        self.sent: list[bytes] = []
        self.got: list[bytes] = []

    def work(self, index: int) -> None:
        """The worker of an inbox takes what is there, to its end if it leaves."""
        inbox = self.way.inboxes[index]
        for message in tasks(inbox):
            if len(message) > END.size:
                self.got.append(message)
                inbox.workers[0][TAKEN] += 1
                inbox.workers[0][DONE] += 1
            elif END.unpack(message)[0] == self.leaving.get(index):
                del self.leaving[index]
        self.way.router.room(index)

    def step(self, number: int) -> None:
        index, router, draw = self.draw.randrange(3), self.way.router, self.draw
        step = draw.choice(["route", "route", "route", "work", "leave", "join", "die"])
        if step == "route":
            self.sent.append(b"task %020d" % number + bytes(draw.choice([0, 60000])))
            router.route(peer(str(draw.randrange(4))), 0.0, draw.randrange(4), self.sent[-1])
        elif step == "work" and (index in self.alive or index in self.leaving):
            self.work(index)
        elif step == "leave" and index in self.alive:
            self.alive.discard(index)
            self.leaving[index] = number
            router.leaves(index, number, 1)
        elif step == "die" and index in self.alive:
            router.left(index)
            router.joined(index)  # its successor
        elif step == "join" and index not in self.alive and index not in self.leaving:
            self.alive.add(index)
            router.joined(index)


@pytest.mark.parametrize("seed", range(5))
def test_no_task_is_lost_or_doubled_whatever_comes_and_goes(made: list[ProcessInbox], seed: int) -> None:
    """At the end everything that was routed was taken once, and no worker that leaves is left without its end."""
    shift = Shift(made, seed)
    for number in range(1, 300):
        shift.step(number)
    for _ in range(200):
        for index in [*shift.leaving, *shift.alive]:
            shift.work(index)
    assert not shift.leaving
    for index in {0, 1, 2} - shift.alive:
        shift.way.router.joined(index)
    for _ in range(200):
        for index in range(3):
            shift.work(index)
    assert shift.way.router.empty
    assert sorted(shift.got) == shift.sent


# ---- how many tasks each worker has at once


def adapting(made: list[ProcessInbox], most: int) -> Ways:
    gradient = Gradient(most)
    return Ways(Router(SharedQueue(), Request(), made, LIMIT, Scoreboard(3, 3).front(), gradient=gradient), made)


def test_a_worker_gets_as_many_as_the_limit_says(made: list[ProcessInbox]) -> None:
    way = adapting(made, 2)
    assert [inbox.view.capacity for inbox in made] == [2] * 3
    assert way.router.row[scoreboard.LIMIT] == 2
    assert [way.send(connection=each) for each in range(8)] == [0, 1, 2, 0, 1, 2, None, None]
    made[1].workers[0][TAKEN] += 1
    made[1].workers[0][DONE] += 1
    way.router.retry()
    assert [inbox.load for inbox in made] == [2, 2, 2]
    assert way.router.queue.count == 1


def test_what_tasks_take_moves_the_limit(made: list[ProcessInbox]) -> None:
    """Workers that have all that they may, and tasks that take what they always have."""
    way = adapting(made, 100)
    router = way.router
    router.look(1.0)
    limits = []
    for number in range(1, 6):
        for connection in range(max(3 * router.row[scoreboard.LIMIT], WINDOW_SAMPLES)):
            way.send(connection=connection)
            router.ended(connection, 0.1)
        for inbox in made:
            inbox.workers[0][TAKEN] = inbox.workers[0][DONE] = inbox.workers[0][DONE] + inbox.load
        router.look(1.0 + number * 0.1)
        limits.append(router.row[scoreboard.LIMIT])
        assert [inbox.view.capacity for inbox in made] == [limits[-1]] * 3
    assert limits == sorted(limits)
    assert limits[-1] > FIRST_LIMIT


def test_a_task_whose_time_is_unknown_moves_nothing(made: list[ProcessInbox]) -> None:
    router = adapting(made, 100).router
    router.look(1.0)
    for connection in range(2 * WINDOW_SAMPLES):
        router.route(peer("a"), 1.0, connection, b"x", noted=True)
        router.ended(connection, 0.0)
    router.look(2.0)
    assert router.gradient is not None
    assert router.gradient._usual == 0.0


def test_without_a_limit_that_moves_nothing_is_noted(made: list[ProcessInbox]) -> None:
    router = Router(SharedQueue(), Request(), made, LIMIT)
    assert not router.tracks
    assert router.row[scoreboard.LIMIT] == 0
