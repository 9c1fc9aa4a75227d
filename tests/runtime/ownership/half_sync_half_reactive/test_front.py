"""The front that lends: what it lends and to how many, and how a connection comes back in every order of events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any

import pytest
from harness.fake_poller import quiet
from harness.front_rig import Client, FrontRig
from harness.phase_rig import NotedFront

from poolctl.runtime.affinity.header import Header
from poolctl.runtime.buffers.outbound import Outbound
from poolctl.runtime.channels.parcel import FLAG_ENDED, FLAG_LAST
from poolctl.runtime.dispatch.shared_queue import SharedQueue
from poolctl.runtime.loop.loop import SWEEP_SECONDS
from poolctl.runtime.ownership.half_sync_half_reactive.front_thread import ThreadLendingFront
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.scoreboard import CROWDED, SENT
from poolctl.runtime.serving.phases import ANSWERING, CLOSED, IDLE
from poolctl.runtime.system.poller import IN, OUT

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def make() -> Iterator[Callable[..., FrontRig]]:
    made: list[FrontRig] = []

    def one(*more: Any, **options: Any) -> FrontRig:
        made.append(FrontRig(*more, **options))
        return made[-1]

    yield one
    for rig in made:
        rig.close()


@pytest.fixture
def rig(make: Callable[..., FrontRig]) -> FrontRig:
    return make()


# ---- lending


def test_each_request_is_lent_under_a_ticket_of_its_own(rig: FrontRig) -> None:
    one, other = rig.client(GET), rig.client()
    other.send(GET)
    first, second = rig.front.sent
    assert [first[2], second[2]] == [GET, GET]
    assert first[0] == one.ticket
    assert second[0] == other.ticket != one.ticket
    assert rig.front.lent == {one.ticket: one.connection, other.ticket: other.connection}
    assert {one.fd, other.fd} <= rig.front.descriptors()
    assert rig.front._patience() == SWEEP_SECONDS  # a worker may give back without a word


def test_two_fronts_never_have_the_same_tickets(make: Callable[..., FrontRig]) -> None:
    assert make().client(GET).ticket >> 32 == make().client(GET).ticket >> 32 != 0  # of this process


def test_the_last_request_is_lent_as_such(rig: FrontRig) -> None:
    client = rig.client()
    client.connection.leaving = True
    client.send(GET + GET)
    rig.front.returned(client.ticket, keep=True)
    assert [flags for _, flags, _ in rig.front.sent] == [0, FLAG_LAST]


def test_the_worker_hears_of_a_client_that_sends_no_more(rig: FrontRig) -> None:
    client = rig.client()
    client.send(GET + GET)
    client.end()
    rig.front.returned(client.ticket, keep=True)
    assert [flags for _, flags, _ in rig.front.sent] == [0, FLAG_LAST | FLAG_ENDED]


def test_too_many_wait(make: Callable[..., FrontRig]) -> None:
    rig = make(waiting=1, tasks=3)
    rig.inboxes[0].row[SENT] = 3
    first = rig.client(GET)
    assert first.phase is ANSWERING  # so many may be lent, whatever the workers have
    second = rig.client(GET)
    assert second.phase is IDLE
    answer = second.read()
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"Connection: close" not in answer
    third = rig.client(GET + GET)  # the next one is there already: to go on from one to the other would have no end
    assert third.read().startswith(b"HTTP/1.1 503")
    assert third.at_end
    for last in (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"):
        other = rig.client(last)
        assert other.read().startswith(b"HTTP/1.1 503")
        assert other.at_end
    assert rig.router.row[CROWDED] == 4
    rig.inboxes[0].row[SENT] = 2
    second.send(GET)
    assert second.phase is ANSWERING  # on the same connection
    assert len(rig.front.lent) == rig.front.open == 2


def test_a_session_that_nobody_knows(make: Callable[..., FrontRig]) -> None:
    protocol = Http()
    protocol.inspected = True
    rig = make(affinity=Header("session", unknown="refuse"), protocol=protocol)
    request = b"GET / HTTP/1.1\r\nHost: a\r\nSession: %s\r\n\r\n"
    rig.router.bind("mine", 0)
    assert rig.client(request % b"mine").phase is ANSWERING
    assert rig.client(GET).phase is ANSWERING  # of none
    stranger = rig.client(request % b"other")
    assert stranger.read().startswith(b"HTTP/1.1 404")
    assert len(rig.front.lent) == 2


def test_more_connections_than_allowed(make: Callable[..., FrontRig]) -> None:
    rig = make(limit=1)
    first = rig.client()
    second = rig.client(GET)
    assert second.read().startswith(b"HTTP/1.1 503")
    assert rig.front.open == 1
    first.end()
    assert rig.front.open == 0
    assert rig.client(GET).phase is ANSWERING


class Unreachable(NotedFront):
    """Its workers cannot be reached."""

    def _send(self, client: Any, ticket: int, flags: int, request: Any) -> None:
        raise OSError("no way")


def test_a_request_that_cannot_be_sent_ends_its_connection_alone(
    make: Callable[..., FrontRig], caplog: pytest.LogCaptureFixture
) -> None:
    rig = make(Unreachable)
    client = rig.client()
    client.send(GET + GET)  # the second is a reason to expect it back
    assert client.phase is CLOSED
    assert "no way" in caplog.text
    assert not rig.front.lent
    assert not rig.front.expected_back
    assert rig.front.open == 0


class Crowded(Http):
    def framer(self) -> Any:
        raise MemoryError("no room")


def test_a_client_for_whom_nothing_can_be_made(make: Callable[..., FrontRig]) -> None:
    rig = make(protocol=Crowded())
    client = rig.client(GET)
    assert client.at_end
    assert rig.front.open == 0


# ---- coming back


def came(rig: FrontRig, client: Client, ticket: int) -> None:
    """The next request, whether the first is lent or not."""
    if client.phase is not CLOSED:
        client.send(GET)


def returned(rig: FrontRig, client: Client, ticket: int) -> None:
    rig.front.returned(ticket, keep=True)


def parted(rig: FrontRig, client: Client, ticket: int) -> None:
    rig.front.returned(ticket, keep=False)


def died(rig: FrontRig, client: Client, ticket: int) -> None:
    rig.front.died(ticket, began=False)


def broke(rig: FrontRig, client: Client, ticket: int) -> None:
    rig.front.died(ticket, began=True)


def strange(rig: FrontRig, client: Client, ticket: int) -> None:
    """Of a front that died, all of them."""
    for each in (1, ticket + 1000):
        rig.front.returned(each, keep=True)
        rig.front.returned(each, keep=False)
        rig.front.died(each, began=False)


@pytest.mark.parametrize("watched", [True, False])  # does the poller have it while it is lent?
@pytest.mark.parametrize("end", [died, broke])
@pytest.mark.parametrize("back", [returned, parted])
def test_every_order_of_what_can_happen(rig: FrontRig, back: Any, end: Any, watched: bool) -> None:
    """The first word about a ticket counts; a second one is nobody's, even if the connection is lent again by then."""
    for order in permutations([came, back, end, strange]):
        client = rig.client(b"" if watched else GET)
        if watched:
            client.send(GET)
        ticket = client.ticket
        for happens in order:
            happens(rig, client, ticket)
        client.event(IN)
        words = client.read()
        first = min(back, end, key=order.index)
        if first is returned:
            assert client.phase is ANSWERING  # with the next request
            assert list(rig.front.lent) == [client.ticket] != [ticket]
            assert words == b""
            parted(rig, client, client.ticket)
        assert client.phase is CLOSED
        assert words[:12] == (b"HTTP/1.1 502" if first is died else b"")
        assert not rig.front.lent
        assert not rig.front.expected_back
        assert rig.front.open == 0


def test_the_status_of_a_worker_that_was_ended(rig: FrontRig) -> None:
    client = rig.client(GET)
    rig.front.died(client.ticket, began=False, status=504)
    assert client.read().startswith(b"HTTP/1.1 504")


def test_what_a_return_raises_ends_that_connection_alone(rig: FrontRig, caplog: pytest.LogCaptureFixture) -> None:
    client, other = rig.client(GET), rig.client(GET)

    def wrong() -> Any:
        raise RuntimeError("broken framer")

    client.connection.framer.take = wrong
    rig.front.returned(client.ticket, keep=True)
    assert client.phase is CLOSED
    assert "broken framer" in caplog.text
    rig.front.returned(other.ticket, keep=True)
    assert other.phase is IDLE


class Observing(SharedQueue):
    """Wants to know when a task is done."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[float] = []

    def finished(self, task: Any, inbox: Any, seconds: float) -> None:
        self.done.append(seconds)


class Routing(NotedFront):
    def _send(self, client: Any, ticket: int, flags: int, request: Any) -> None:
        self.router.route(client.peer, self.now, id(client), ticket)


def test_a_strategy_that_observes_hears_of_each_end(make: Callable[..., FrontRig]) -> None:
    strategy = Observing()
    rig = make(Routing, dispatch=strategy)
    one, other = rig.client(GET), rig.client(GET)
    assert rig.front.expected_back == {one.ticket, other.ticket}
    rig.front.returned(one.ticket, keep=True)
    rig.front.died(other.ticket, began=False)
    assert len(strategy.done) == 2


# ---- the end


def test_a_drain_with_connections_lent(make: Callable[..., FrontRig]) -> None:
    rig = make(ThreadLendingFront)
    idle, kept, cut, ahead = rig.client(GET), rig.client(GET), rig.client(GET), rig.client(GET + GET)
    rig.front.returned(idle.ticket, keep=True)
    left = Outbound()
    left.add(b"the rest")

    def back() -> None:
        rig.front.returned(kept.ticket, keep=True)
        rig.front.returned(cut.ticket, keep=False, rest=left)
        rig.front.returned(ahead.ticket, keep=True)

    rig.run(
        rig.ends(),
        lambda: idle.event(OUT),  # an idle connection is writable
        back,
        lambda: cut.event(OUT),
        lambda: rig.front.returned(ahead.ticket, keep=True),
    )
    assert [each.phase for each in (idle, kept, cut, ahead)] == [CLOSED] * 4
    assert cut.read() == b"the rest"
    flags = [rig.inboxes[0].take()[2] for _ in range(5)]
    assert flags == [0, 0, 0, 0, FLAG_LAST]


def test_a_drain_waits_for_what_is_lent(make: Callable[..., FrontRig]) -> None:
    rig = make(ThreadLendingFront)
    client = rig.client(GET)
    rig.run(rig.ends(), *quiet(3), lambda: rig.front.returned(client.ticket, keep=False))
    assert client.at_end


def test_nobody_is_left_on_the_other_side(rig: FrontRig, caplog: pytest.LogCaptureFixture) -> None:
    rig.front.abandon()
    assert rig.front.finished
    assert "all workers are gone" in caplog.text


# ---- what a stop, or its notice, tells lent connections that are in no poller


class Channel:
    """That of connections that move, which nobody takes any more once the whole server stops."""

    open = True

    def send(self, fd: int, protocol: str, peer: Any) -> bool:
        return False


def test_a_stop_during_a_drain_ends_connections_that_are_lent(rig: FrontRig) -> None:
    """Its request came with the connection, so the poller has never had it."""
    client = rig.client(GET)
    assert client.fd not in rig.front.handlers
    rig.front.move_by(Channel())
    rig.front.drain(None)
    assert rig.front.moving
    rig.front.moves.open = False
    rig.front._drained(False, None)
    rig.front.returned(client.ticket, keep=True)
    assert client.phase is CLOSED


def test_a_notice_that_is_withdrawn_reaches_connections_that_are_lent(rig: FrontRig) -> None:
    rig.front._tell(None, noticing=True)
    client = rig.client(GET + GET[:5])  # so the first response is not the last
    assert client.fd not in rig.front.handlers
    rig.front._tell(None, noticing=False)
    rig.front.returned(client.ticket, keep=True)
    client.send(GET[5:])
    assert client.connection.last is False
    rig.front.returned(client.ticket, keep=True)
    assert client.phase is IDLE


@pytest.mark.parametrize("said", [False, True])
def test_a_connection_ends_if_its_response_has_said_so(rig: FrontRig, said: bool) -> None:
    client = rig.client()
    if said:
        rig.front._tell(None, noticing=True)
    client.send(GET)
    rig.front._tell(None, noticing=True)
    rig.front._tell(None, noticing=False)
    rig.front.returned(client.ticket, keep=not said)
    assert client.phase is (CLOSED if said else IDLE)
