"""What a worker lost when it died: which requests go to another, where they go, and what is kept for that."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.front_rig import Client
from harness.no_descriptor import no_descriptor
from harness.process_front_rig import GET, ProcessFrontRig

from poolctl.runtime.affinity.client import Client as ClientAffinity
from poolctl.runtime.affinity.connection import Connection
from poolctl.runtime.affinity.header import Header
from poolctl.runtime.channels.notices import BEGAN, DIED_IDLE, INBOX_LEFT, LOST, OVERDUE
from poolctl.runtime.channels.parcel import FLAG_FILE, FLAG_LAST, FLAG_PACKED, HEAD, TICKET_KEPT, TICKET_MISSED
from poolctl.runtime.dispatch.least_loaded import LeastLoaded
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.ownership.half_sync_half_reactive.retrying import QUIET_SECONDS, RetryingFront
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.scoreboard import DONE, RETRIED, SENT, TAKEN, TICKET
from poolctl.runtime.serving.phases import ANSWERING, CLOSED, IDLE
from poolctl.runtime.system.poller import HUP, IN
from poolctl.runtime.task import Task

LARGE = bytes(range(256)) * 400


class RetryRig(ProcessFrontRig):
    """``lose``: a worker takes a task, and dies with it."""

    front: RetryingFront

    def __init__(self, **options: Any) -> None:
        super().__init__(RetryingFront, **options)

    def lose(self, number: int = 0) -> int:
        """The ticket of the task that was lost."""
        ticket, _ = self.take(number)
        self.die(ticket, number)
        return ticket

    def die(self, ticket: int, number: int = 0) -> None:
        """As the mold: settle the row of the dead worker, and notify the front."""
        row = self.workers[number]
        row[TICKET], row[DONE] = 0, row[TAKEN]
        self.notice(LOST, ticket)

    def answer(self, number: int = 0) -> bytes:
        """A worker takes a task and answers it. Returns the request."""
        ticket, request = self.take(number)
        row = self.workers[number]
        row[TICKET], row[DONE] = 0, row[TAKEN]
        self.tell(ticket, TICKET_KEPT)
        self.front.before_events()
        return request


def large(rig: RetryRig, method: str = "PUT") -> Client:
    """A client whose request travels in a file."""
    client = rig.client()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
    client.send(f"{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {len(LARGE)}\r\n\r\n".encode() + LARGE)
    while client.phase is not ANSWERING:
        client.event(IN)
    return client


def take_file(rig: RetryRig, size: int = -1) -> tuple[int, bytes]:
    """As a worker: the ticket, and so many bytes of the request in the file."""
    message, fds = rig.inboxes[0].take()
    fd, file = fds
    os.close(fd)
    ticket, flags, _, _ = HEAD.unpack_from(message)
    assert flags & FLAG_FILE
    rig.workers[0][TAKEN] += 1
    with os.fdopen(file, "rb", buffering=0) as request:
        return ticket, request.read(size)


@pytest.fixture
def make_retrying() -> Iterator[Callable[..., RetryRig]]:
    made: list[RetryRig] = []

    def one(**options: Any) -> RetryRig:
        made.append(RetryRig(**options))
        return made[-1]

    yield one
    for rig in made:
        rig.close()


@pytest.fixture
def retrying(make_retrying: Callable[..., RetryRig]) -> RetryRig:
    return make_retrying()


def request_of(method: str) -> bytes:
    return f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n".encode()


# ---- which requests


def test_what_one_worker_lost_another_answers(retrying: RetryRig, caplog: pytest.LogCaptureFixture) -> None:
    client = retrying.lent()
    lost = retrying.lose()
    assert client.phase is ANSWERING
    assert client.ticket not in (0, lost)
    assert retrying.answer() == GET
    assert client.phase is IDLE
    client.send(GET)  # the connection goes on
    assert client.phase is ANSWERING
    assert retrying.answer() == GET
    assert client.read() == b""  # the front has said nothing
    assert caplog.messages == ["GET / HTTP/1.1: its worker died; retrying it on another"]
    assert retrying.router.row[RETRIED] == 1


def test_once(retrying: RetryRig) -> None:
    client = retrying.lent()
    retrying.lose()
    retrying.lose()
    assert client.phase is CLOSED
    assert client.read().startswith(b"HTTP/1.1 502")
    assert retrying.inboxes[0].waiting == 0
    assert retrying.router.row[RETRIED] == 1


def test_the_next_request_of_the_connection_has_its_own_retry(retrying: RetryRig) -> None:
    client = retrying.lent()
    for _ in range(3):
        retrying.lose()
        assert retrying.answer() == GET
        client.send(GET)
    assert client.phase is ANSWERING


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])
def test_methods_that_may_be_repeated(retrying: RetryRig, method: str) -> None:
    client = retrying.lent(request_of(method))
    retrying.lose()
    assert client.phase is ANSWERING
    assert retrying.answer() == request_of(method)


@pytest.mark.parametrize("method", ["POST", "PATCH", "get", "Put", "GETS", "DELET", "QUERY"])
def test_methods_that_may_not(retrying: RetryRig, method: str) -> None:
    client = retrying.lent(request_of(method))
    assert not retrying.front.lent.kept
    retrying.lose()
    assert client.read().startswith(b"HTTP/1.1 502")
    assert retrying.inboxes[0].waiting == 0


@pytest.mark.parametrize(("kind", "words"), [(BEGAN, b""), (OVERDUE, b"HTTP/1.1 504")])
def test_other_ends_of_a_worker(retrying: RetryRig, kind: int, words: bytes) -> None:
    client = retrying.lent()
    ticket, _ = retrying.take()
    retrying.notice(kind, ticket)
    assert client.phase is CLOSED
    assert client.read()[:12] == words
    assert not retrying.front.lent.kept


def test_a_worker_without_descriptors_is_not_dead(retrying: RetryRig) -> None:
    client = retrying.lent()
    ticket, _ = retrying.take()
    retrying.tell(ticket, TICKET_MISSED)
    retrying.front.before_events()
    assert client.read().startswith(b"HTTP/1.1 503")
    assert not retrying.front.lent.kept


def test_pipelined_requests_are_judged_one_by_one(retrying: RetryRig) -> None:
    client = retrying.lent(GET + request_of("POST") + GET)
    retrying.lose()
    assert retrying.answer() == GET
    assert client.phase is ANSWERING  # with the second, which came back to the front at once
    retrying.lose()
    assert client.read().startswith(b"HTTP/1.1 502")


# ---- what the client does meanwhile


def test_a_client_that_sends_ahead_gets_its_next_answer_too(retrying: RetryRig) -> None:
    client = retrying.lent()
    client.send(request_of("HEAD"))
    assert client.ticket in retrying.front.expected_back
    lost = retrying.lose()
    assert lost not in retrying.front.expected_back
    assert client.ticket in retrying.front.expected_back
    assert [retrying.answer(), retrying.answer()] == [GET, request_of("HEAD")]
    assert client.phase is IDLE


def test_nobody_waits_for_a_client_that_has_reset(retrying: RetryRig) -> None:
    client = retrying.lent()
    ticket, _ = retrying.take()
    client.sock.close()  # no event has told the front
    retrying.die(ticket)
    assert client.phase is CLOSED
    assert retrying.inboxes[0].waiting == 0
    assert not retrying.front.lent.kept


def test_nor_for_one_whose_reset_was_noticed(retrying: RetryRig) -> None:
    client = retrying.lent()
    ticket, _ = retrying.take()
    client.leave()
    retrying.die(ticket)
    assert client.phase is CLOSED
    assert retrying.inboxes[0].waiting == 0


def test_a_client_that_sends_no_more_still_waits(retrying: RetryRig) -> None:
    client = retrying.lent()
    client.end()
    retrying.lose()
    assert client.phase is ANSWERING
    message, fds = retrying.inboxes[0].take()
    for fd in fds:
        os.close(fd)
    assert HEAD.unpack_from(message)[1] & FLAG_LAST  # nothing can follow it


def test_in_a_drain_it_is_the_last_of_its_connection(retrying: RetryRig) -> None:
    client = retrying.lent()
    ticket, _ = retrying.take()
    retrying.front.drain(None)
    retrying.die(ticket)
    message, fds = retrying.inboxes[0].take()
    for fd in fds:
        os.close(fd)
    again, flags, _, _ = HEAD.unpack_from(message)
    assert (again, flags & ~FLAG_PACKED) == (client.ticket, FLAG_LAST)
    retrying.tell(again)
    retrying.front.before_events()
    assert client.phase is CLOSED
    assert client.at_end


# ---- what is kept


def test_a_large_request_is_sent_again_from_its_beginning(retrying: RetryRig) -> None:
    before = len(os.listdir("/proc/self/fd"))
    client = large(retrying)
    ticket, whole = take_file(retrying)
    assert whole.endswith(LARGE)
    retrying.die(ticket)
    again, request = take_file(retrying)
    assert again == client.ticket
    assert request == whole
    retrying.tell(again, TICKET_KEPT)
    retrying.front.before_events()
    assert client.phase is IDLE
    assert len(os.listdir("/proc/self/fd")) == before + 2  # both ends of the client


def test_a_large_request_that_must_not_be_repeated_is_not_kept(retrying: RetryRig) -> None:
    client = large(retrying, "POST")
    assert not retrying.front.lent.kept
    retrying.die(take_file(retrying, 10)[0])
    assert client.read().startswith(b"HTTP/1.1 502")


def test_what_was_kept_goes_with_the_loan(retrying: RetryRig) -> None:
    """Whichever way the connection comes back."""
    before = len(os.listdir("/proc/self/fd"))
    ends: list[Callable[[int], None]] = [
        lambda ticket: retrying.tell(ticket, TICKET_KEPT),
        retrying.tell,
        lambda ticket: retrying.tell(ticket, TICKET_MISSED),
        lambda ticket: retrying.leave(ticket, TICKET_KEPT),
        lambda ticket: retrying.notice(BEGAN, ticket),
        lambda ticket: retrying.notice(OVERDUE, ticket),
    ]
    clients = []
    for end in ends:
        clients.append(large(retrying))
        assert list(retrying.front.lent.kept) == [clients[-1].ticket]
        end(take_file(retrying, 10)[0])
        retrying.front.before_events()
        if retrying.front.lent:
            retrying.left()
        assert not retrying.front.lent.kept
    for client in clients:
        client.read()
        if client.phase is not CLOSED:
            client.connection.close()
        client.sock.close()
    for handler in [each for each in retrying.front.handlers.values() if each.fd in {c.fd for c in clients}]:
        handler.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_at_the_end_of_all_workers_nothing_is_retried(retrying: RetryRig) -> None:
    client = retrying.lent()
    retrying.desert()
    retrying.front.deliver(retrying.front.handlers[retrying.returns.urgent_reader], HUP, None)
    assert client.phase is CLOSED
    assert not retrying.front.lent.kept


def test_without_a_descriptor_nothing_is_kept(retrying: RetryRig, caplog: pytest.LogCaptureFixture) -> None:
    client = retrying.client()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
    client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + bytes(90_000))
    for _ in range(2):
        client.event(IN)
    client.send(bytes(10_000), told=False)
    with no_descriptor():
        client.event(IN)
    assert "cannot keep a request for a retry: [Errno 24]" in caplog.text
    assert not retrying.front.lent.kept


# ---- where it goes


def test_behind_the_requests_that_wait(make_retrying: Callable[..., RetryRig]) -> None:
    rig = make_retrying(inboxes=2)  # the queue is in the front
    first, second, third = rig.lent(), rig.lent(), rig.lent()
    ticket, _ = rig.take(0)
    assert ticket == first.ticket
    rig.die(ticket)
    rig.notice(INBOX_LEFT, 0)
    assert [HEAD.unpack_from(each.item)[0] for each in rig.router.queue] == [third.ticket, first.ticket]
    assert rig.answer(1) == GET
    assert second.phase is IDLE
    assert rig.take(1)[0] == third.ticket


def test_not_to_the_inbox_of_the_dead_worker(make_retrying: Callable[..., RetryRig]) -> None:
    rig = make_retrying(inboxes=2, dispatch=LeastLoaded())
    client = rig.lent()
    other = rig.lent()
    busy, _ = rig.take(1)  # so that the inbox of the dead would be the least loaded
    rig.lose(0)  # the notice that its inbox has left has not come
    assert [inbox.waiting for inbox in rig.inboxes] == [0, 1]
    assert rig.take(1)[0] == client.ticket
    assert other.ticket == busy
    assert [rig.lent(), rig.inboxes[0].waiting][1] == 1  # new ones may: it is on offer until the notice
    rig.notice(INBOX_LEFT, 0)
    assert [rig.lent(), rig.inboxes[0].waiting][1] == 1


def test_to_the_only_inbox_if_there_is_no_other(make_retrying: Callable[..., RetryRig]) -> None:
    rig = make_retrying(inboxes=2, dispatch=LeastLoaded())
    rig.notice(INBOX_LEFT, 1)
    client = rig.lent()
    rig.lose(0)
    rig.notice(INBOX_LEFT, 0)
    assert rig.take(0)[0] == client.ticket  # the successor has it


@pytest.mark.parametrize("affinity", [Connection(), ClientAffinity()])
def test_its_key_goes_along(make_retrying: Callable[..., RetryRig], affinity: Any) -> None:
    rig = make_retrying(inboxes=2, dispatch=LeastLoaded(), affinity=affinity)
    client = rig.lent()
    rig.lose(0)
    rig.notice(INBOX_LEFT, 0)
    assert rig.answer(1) == GET
    client.send(GET)
    assert rig.take(1)[0] == client.ticket


def test_a_session_that_died_with_its_worker_is_unknown(make_retrying: Callable[..., RetryRig]) -> None:
    protocol = Http()
    protocol.inspected = True
    rig = make_retrying(
        learns=True, inboxes=2, affinity=Header("session", unknown="refuse"), dispatch=LeastLoaded(), protocol=protocol
    )
    rig.router.bind("mine", 0)
    client = rig.lent(b"GET / HTTP/1.1\r\nHost: a\r\nSession: mine\r\n\r\n")
    rig.lose(0)
    assert client.read().startswith(b"HTTP/1.1 404")
    assert rig.router.row[RETRIED] == 0
    without = rig.lent()
    at = next(inbox.index for inbox in rig.inboxes if inbox.waiting)
    rig.lose(at)
    assert without.phase is ANSWERING


def test_no_more_wait_than_may(make_retrying: Callable[..., RetryRig]) -> None:
    rig = make_retrying(waiting=2, tasks=2)
    client = rig.lent()
    ticket, _ = rig.take()
    rig.lent(), rig.lent()
    rig.die(ticket)
    assert client.read().startswith(b"HTTP/1.1 503")
    assert not rig.front.lent.kept.keys() - rig.front.lent.keys()
    assert rig.router.row[RETRIED] == 0


# ---- what is lost


def test_what_came_back_before_the_death_is_not_lost(retrying: RetryRig) -> None:
    client = retrying.lent()
    ticket, _ = retrying.take()
    retrying.tell(ticket, TICKET_KEPT)
    retrying.die(ticket)  # the front has not read the record
    assert client.phase is IDLE
    assert retrying.inboxes[0].waiting == 0


def test_what_a_recount_finds_is_retried(retrying: RetryRig) -> None:
    client = retrying.lent()
    retrying.inboxes[0].take()  # and not noted
    retrying.notice(DIED_IDLE, 0)
    for _ in range(3):
        retrying.sweep(0.5)
    assert not retrying.front.recounts
    assert retrying.inboxes[0].row[SENT] == 1
    assert retrying.take() == (client.ticket, GET)


class Watching(LeastLoaded):
    """A strategy that notes what is done."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[int] = []

    def finished(self, task: Task, inbox: InboxView, seconds: float) -> None:
        self.done.append(inbox.index)


def test_a_strategy_hears_of_both_attempts(make_retrying: Callable[..., RetryRig]) -> None:
    watching = Watching()
    rig = make_retrying(inboxes=2, dispatch=watching)
    rig.lent()
    rig.lose(0)
    assert watching.done == [0]
    rig.answer(1)
    assert watching.done == [0, 1]


def test_many_retries_are_one_line_a_second(retrying: RetryRig, caplog: pytest.LogCaptureFixture) -> None:
    clients = [retrying.lent() for _ in range(4)]
    for _ in range(3):
        retrying.lose()
    assert len(caplog.messages) == 1
    retrying.clock.now = retrying.front.now = retrying.clock.now + QUIET_SECONDS
    retrying.lose()
    assert caplog.messages[1:] == [
        "GET / HTTP/1.1: its worker died; retrying it on another; 2 more since the last such line"
    ]
    assert retrying.router.row[RETRIED] == len(clients)


def test_a_ticket_of_another_front(retrying: RetryRig) -> None:
    client = retrying.lent()
    retrying.notice(LOST, 12345)
    assert client.phase is ANSWERING
    assert retrying.inboxes[0].waiting == 1
