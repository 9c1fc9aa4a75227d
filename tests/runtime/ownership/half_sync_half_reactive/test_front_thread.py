"""A front beside its workers' threads: how a connection comes back without waking it, and the races around that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.front_rig import Client, FrontRig

from poolctl.runtime.affinity.header import Header
from poolctl.runtime.buffers.outbound import Outbound
from poolctl.runtime.ownership.half_sync_half_reactive.front_thread import ThreadLendingFront
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.serving.phases import ANSWERING, CLOSED, IDLE
from poolctl.runtime.system.poller import IN

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def rig() -> Iterator[FrontRig]:
    made = FrontRig(ThreadLendingFront)
    yield made
    made.close()


def give_back(rig: FrontRig, client: Client, ticket: int, *, keep: bool = True, left: Outbound | None = None) -> None:
    """What the worker's thread does."""
    rig.front.give_back(client.connection, ticket, keep, left)


def rings(rig: FrontRig) -> bool:
    """Whether the front is woken; then it has looked."""
    try:
        rig.front._heard.recv(1, 0x40 | 0x02)  # MSG_DONTWAIT and MSG_PEEK
    except BlockingIOError:
        return False
    fd = rig.front._heard.fileno()
    rig.front.deliver(rig.front.handlers[fd], IN, None)
    return True


def lent(rig: FrontRig) -> Client:
    """A client whose connection is lent, and which the poller has."""
    client = rig.client()
    client.send(GET)
    assert client.phase is ANSWERING
    return client


def test_the_client_itself_goes_through_the_inbox(rig: FrontRig) -> None:
    client = lent(rig)
    connection, ticket, flags, came, request = rig.inboxes[0].take()
    assert (connection, ticket, flags, request) == (client.connection, client.ticket, 0, GET)
    assert came == rig.clock.now


def test_kept_without_waking_the_front(rig: FrontRig) -> None:
    client = lent(rig)
    give_back(rig, client, client.ticket)
    assert not rings(rig)
    assert not rig.front.lent
    client.send(GET)  # the front notices by itself
    assert client.phase is ANSWERING
    assert len(rig.front.lent) == 1


@pytest.mark.parametrize(
    ("keep", "left", "after"), [(False, b"", CLOSED), (True, b"the rest", IDLE), (False, b"the rest", CLOSED)]
)
def test_what_the_front_has_to_do_something_for_wakes_it(rig: FrontRig, keep: bool, left: bytes, after: Any) -> None:
    client = lent(rig)
    kept = None
    if left:
        kept = Outbound()
        kept.add(left)
    give_back(rig, client, client.ticket, keep=keep, left=kept)
    assert client.phase is ANSWERING
    assert rings(rig)
    assert client.read() == left
    assert client.phase is after


def test_several_come_back_with_one_ring(rig: FrontRig) -> None:
    clients = [lent(rig) for _ in range(3)]
    for client in clients:
        give_back(rig, client, client.ticket, keep=False)
    assert rings(rig)
    assert all(client.phase is CLOSED for client in clients)


def test_one_that_is_expected_back_wakes_the_front(rig: FrontRig) -> None:
    client = lent(rig)
    client.send(GET)
    give_back(rig, client, client.ticket)
    assert rings(rig)
    assert client.phase is ANSWERING  # with the second
    assert rig.front.expected_back == set()


def test_a_front_in_which_tasks_wait_is_woken(rig: FrontRig) -> None:
    client = lent(rig)
    rig.router.queue.count = 1
    give_back(rig, client, client.ticket)
    rig.router.queue.count = 0
    assert rings(rig)
    assert client.phase is IDLE


# ---- both sides clear or note first, and look then


class Interleaved(set[int]):
    """Tickets that are expected back; before each step something else happens, once."""

    before_add: Callable[[], Any] | None = None
    before_look: Callable[[], Any] | None = None

    def add(self, ticket: int) -> None:
        does, self.before_add = self.before_add, None
        if does is not None:
            does()
        super().add(ticket)

    def __contains__(self, ticket: object) -> bool:
        does, self.before_look = self.before_look, None
        if does is not None:
            does()
        return super().__contains__(ticket)


def answered_twice(rig: FrontRig, client: Client) -> None:
    """The second request was lent too, and the connection ends up idle."""
    assert client.phase is ANSWERING
    second = client.ticket
    give_back(rig, client, second)
    rings(rig)
    client.connection._notice_return()
    assert client.phase is IDLE
    assert not rig.front.lent
    assert not rig.front.expected_back
    assert client.read() == b""


def test_the_worker_is_done_before_the_front_has_noted_that_it_waits(rig: FrontRig) -> None:
    client = lent(rig)
    ticket = client.ticket
    rig.front.expected_back = tickets = Interleaved()
    tickets.before_add = lambda: give_back(rig, client, ticket)
    client.send(GET)
    assert not rings(rig)
    answered_twice(rig, client)


def test_the_front_notes_it_between_the_workers_two_steps(rig: FrontRig) -> None:
    client = lent(rig)
    rig.front.expected_back = tickets = Interleaved()
    tickets.before_look = lambda: client.send(GET)  # the ticket is cleared, and nobody has looked
    give_back(rig, client, client.ticket)
    rings(rig)
    answered_twice(rig, client)


def test_the_worker_sees_what_the_front_takes_back_again(rig: FrontRig) -> None:
    """The front has noted a ticket that is cleared before it looks; the worker looks in between, and sends it back."""
    client = lent(rig)
    ticket = client.ticket

    class Cleared(Interleaved):
        def add(self, number: int) -> None:
            super().add(number)
            if number == ticket and client.ticket:
                give_back(rig, client, ticket)  # sees the note

    rig.front.expected_back = Cleared()
    client.send(GET)
    second = client.ticket
    assert second not in (0, ticket)
    assert rings(rig)  # the first has come back twice; the second time it is nobody's
    assert client.ticket == second
    answered_twice(rig, client)


def test_a_return_that_comes_after_the_end(rig: FrontRig) -> None:
    client = lent(rig)
    ticket = client.ticket
    client.send(GET[:5])
    give_back(rig, client, ticket)
    client.connection.close()
    assert rings(rig)
    assert client.phase is CLOSED
    assert rig.front.open == 0


# ---- sessions that workers begin


def test_a_session_is_known_before_its_clients_next_request() -> None:
    protocol = Http()
    protocol.inspected = True
    rig = FrontRig(ThreadLendingFront, inboxes=2, affinity=Header("session", unknown="refuse"), protocol=protocol)
    request = b"GET / HTTP/1.1\r\nHost: a\r\nSession: mine\r\n\r\n"
    rig.front.sessions.append(("mine", 1))
    rig.front.before_events()
    client = rig.client(request)
    assert client.phase is ANSWERING
    assert rig.inboxes[1].take()[0] is client.connection
    assert not rig.front.sessions
    rig.close()
