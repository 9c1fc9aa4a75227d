"""A front whose workers are processes: records, leftovers, notices, and what lies in the inbox of a dead worker."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.no_descriptor import no_descriptor
from harness.process_front_rig import GET, REST, ProcessFrontRig, raw

from poolctl.runtime.affinity.header import Header
from poolctl.runtime.channels.notices import BEGAN, DIED_IDLE, INBOX_JOINED, INBOX_LEFT, LOST, OVERDUE
from poolctl.runtime.channels.parcel import FLAG_FILE, FLAG_PACKED, HEAD, TICKET_KEPT, TICKET_MISSED
from poolctl.runtime.dispatch.least_loaded import LeastLoaded
from poolctl.runtime.ownership.half_sync_half_reactive.sessions import INDEX
from poolctl.runtime.ownership.half_sync_half_reactive.untaken import LATE_SECONDS, Computing
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.scoreboard import DONE, SENT
from poolctl.runtime.serving.phases import ANSWERING, CLOSED, FINISHING, IDLE, SENDING
from poolctl.runtime.system.poller import HUP, IN


@pytest.fixture
def make() -> Iterator[Callable[..., ProcessFrontRig]]:
    made: list[ProcessFrontRig] = []

    def one(**options: Any) -> ProcessFrontRig:
        made.append(ProcessFrontRig(**options))
        return made[-1]

    yield one
    for rig in made:
        rig.close()


@pytest.fixture
def rig(make: Callable[..., ProcessFrontRig]) -> ProcessFrontRig:
    return make()


# ---- the way there


def test_a_request_and_its_connection_travel_in_one_message(rig: ProcessFrontRig) -> None:
    client = rig.lent()
    message, fds = rig.inboxes[0].take()
    (fd,) = fds
    os.write(fd, b"from the worker")
    os.close(fd)
    ticket, flags, length, came = HEAD.unpack_from(message)
    assert (ticket, flags, came) == (client.ticket, FLAG_PACKED, rig.clock.now)
    assert message[HEAD.size : HEAD.size + length].decode().split(" ")[:3] == ["192.0.2.1", "40000", "0"]
    assert raw(flags, message[HEAD.size + length :]) == GET
    assert client.read() == b"from the worker"


def test_a_request_whose_head_was_read_before_travels_as_its_bytes(rig: ProcessFrontRig) -> None:
    """The worker that gets it has probably read that head too, and remembers what its app has made of it."""
    rig.lent()
    client = rig.lent()
    rig.take()
    message, fds = rig.inboxes[0].take()
    os.close(fds[0])
    ticket, flags, length, _ = HEAD.unpack_from(message)
    assert (ticket, flags, message[HEAD.size + length :]) == (client.ticket, 0, GET)


def test_a_request_with_a_body_travels_as_its_bytes(rig: ProcessFrontRig) -> None:
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    rig.lent(post)
    message, fds = rig.inboxes[0].take()
    os.close(fds[0])
    _, flags, length, _ = HEAD.unpack_from(message)
    assert (flags, message[HEAD.size + length :]) == (0, post)


def test_a_large_request_travels_in_a_file(rig: ProcessFrontRig) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
    client = rig.client()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
    client.send(head + bytes(100_000))
    while client.phase is not ANSWERING:
        client.event(IN)
    message, fds = rig.inboxes[0].take()
    fd, file = fds
    os.close(fd)
    assert HEAD.unpack_from(message)[1] == FLAG_FILE
    with os.fdopen(file, "rb") as request:
        assert request.read() == head + bytes(100_000)


# ---- the way back


def test_kept_and_nobody_hurries(rig: ProcessFrontRig) -> None:
    client = rig.lent()
    rig.tell(client.ticket, TICKET_KEPT)
    assert rig.returns.reader not in rig.front.handlers  # it does not wake the front
    rig.clock.now = rig.front.now = rig.clock.now + 7
    rig.front.before_events()
    assert client.phase is IDLE
    assert client.connection.since == rig.clock.now
    assert not rig.front.lent


def test_many_records_are_read_at_once(rig: ProcessFrontRig) -> None:
    kept, closed, missed = rig.lent(), rig.lent(), rig.lent()
    rig.tell(kept.ticket, TICKET_KEPT)
    rig.tell(12345, TICKET_KEPT)  # of a front that died
    rig.tell(12346)
    rig.tell(12347, TICKET_MISSED)
    rig.tell(closed.ticket)
    rig.tell(missed.ticket, TICKET_MISSED)
    rig.front.before_events()
    assert [each.phase for each in (kept, closed, missed)] == [IDLE, CLOSED, CLOSED]
    assert closed.read() == b""
    assert missed.read().startswith(b"HTTP/1.1 503")
    assert not rig.front.lent


def test_what_is_expected_back_wakes_the_front_until_it_is_back(rig: ProcessFrontRig) -> None:
    client, other = rig.lent(), rig.lent()
    client.send(GET)
    other.send(GET)
    records = rig.front.handlers[rig.returns.reader]
    rig.tell(client.ticket, TICKET_KEPT)
    rig.front.deliver(records, IN, None)
    assert client.phase is ANSWERING  # with the next
    assert rig.returns.reader in rig.front.handlers  # the other is still expected
    rig.tell(other.ticket, TICKET_KEPT)
    rig.front.deliver(records, IN, None)
    assert rig.returns.reader not in rig.front.handlers
    rig.front.deliver(records, IN, None)  # nothing is there


def test_the_end_of_the_records_is_no_record(rig: ProcessFrontRig) -> None:
    client = rig.lent()
    client.send(GET)
    records = rig.front.handlers[rig.returns.reader]
    os.close(rig.returns.writer)
    rig.returns.writer = -1
    rig.front.deliver(records, IN, None)
    assert rig.returns.reader not in rig.front.handlers


@pytest.mark.parametrize("keep", [True, False])
def test_leftovers_are_sent_on(rig: ProcessFrontRig, keep: bool) -> None:
    client = rig.lent()
    rig.leave(client.ticket, TICKET_KEPT * keep)
    rig.left()
    assert client.phase is (SENDING if keep else FINISHING)
    assert client.read() == REST
    assert client.phase is (IDLE if keep else CLOSED)


def test_leftovers_of_a_front_that_died_are_closed(rig: ProcessFrontRig) -> None:
    before = len(os.listdir("/proc/self/fd"))
    rig.leave(12345)
    rig.left()
    assert len(os.listdir("/proc/self/fd")) == before


def test_leftovers_for_which_no_descriptor_is_left(rig: ProcessFrontRig, caplog: pytest.LogCaptureFixture) -> None:
    client = rig.lent()
    rig.leave(client.ticket, TICKET_KEPT)
    with no_descriptor():
        rig.left()
    assert client.phase is CLOSED  # a part of the answer was sent: there is nothing to say
    assert client.read() == b""
    assert "out of file descriptors" in caplog.text
    assert not rig.front.lent


def test_the_end_of_the_leftovers(rig: ProcessFrontRig) -> None:
    rig.returns.left_writer.close()
    rig.left()
    assert rig.returns.left_reader.fileno() not in rig.front.handlers


def test_desertion(rig: ProcessFrontRig, caplog: pytest.LogCaptureFixture) -> None:
    """What has come back counts; what has not never will."""
    back, lost = rig.lent(), rig.lent()
    rig.tell(back.ticket, TICKET_KEPT)
    rig.desert()
    rig.front.deliver(rig.front.handlers[rig.returns.urgent_reader], HUP, None)
    assert back.phase is IDLE
    assert lost.phase is CLOSED
    assert lost.read() == b""  # nobody knows whether a part of its answer was sent
    assert rig.front.finished
    assert "all workers are gone" in caplog.text


def test_a_session_that_a_worker_has_begun(make: Callable[..., ProcessFrontRig]) -> None:
    protocol = Http()
    protocol.inspected = True
    rig = make(learns=True, inboxes=2, affinity=Header("session", unknown="refuse"), protocol=protocol)
    told = rig.returns.told
    assert told is not None
    told.send(INDEX.pack(1) + b"mine")
    rig.front.before_events()
    client = rig.client(b"GET / HTTP/1.1\r\nHost: a\r\nSession: mine\r\n\r\n")
    assert client.phase is ANSWERING
    assert rig.take(1)[0] == client.ticket
    told.close()
    rig.front.before_events()  # its end of file is no session


# ---- what the mold says


@pytest.mark.parametrize(("kind", "words"), [(LOST, b"HTTP/1.1 502"), (BEGAN, b""), (OVERDUE, b"HTTP/1.1 504")])
def test_a_ticket_of_a_dead_worker(rig: ProcessFrontRig, kind: int, words: bytes) -> None:
    client, other = rig.lent(), rig.lent()
    rig.notice(kind, client.ticket)
    rig.notice(kind, 12345)
    assert client.phase is CLOSED
    assert client.read()[:12] == words
    assert other.phase is ANSWERING


def test_the_end_of_the_notices(rig: ProcessFrontRig) -> None:
    rig.notices.writer.close()
    rig.front.deliver(rig.front.handlers[rig.notices.reader.fileno()], HUP, None)
    assert rig.notices.reader.fileno() not in rig.front.handlers


def test_a_task_that_a_worker_took_and_never_noted(rig: ProcessFrontRig) -> None:
    """It died between its receiving a message and its writing that down: a recount finds out which one it was."""
    lost, taken, lies = rig.lent(), rig.lent(), rig.lent()
    rig.inboxes[0].take()
    rig.notice(DIED_IDLE, 0)
    rig.take()  # by its successor
    rig.sweep(0.5)
    rig.sweep(0.5)
    assert lost.phase is ANSWERING  # something lies in the inbox: it may be its task
    rig.tell(taken.ticket, TICKET_KEPT)
    rig.take()
    for _ in range(3):
        rig.sweep(0.5)
    assert lost.read().startswith(b"HTTP/1.1 502")
    assert taken.phase is IDLE
    assert lies.phase is ANSWERING
    assert not rig.front.recounts
    assert rig.inboxes[0].row[SENT] == 2  # what was lost counts no more


def test_what_lies_in_the_inbox_of_a_dead_worker_goes_to_another(make: Callable[..., ProcessFrontRig]) -> None:
    rig = make(inboxes=2, dispatch=LeastLoaded(), awaited=True)
    assert rig.router.queues is False  # tasks are bound: what lies there is its successor's
    lies = [rig.lent() for _ in range(4)]
    rig.notice(INBOX_LEFT, 0)
    assert rig.inboxes[0].waiting == 2
    later = rig.lent()
    assert rig.inboxes[1].waiting == 3  # the dead one's inbox is not on offer
    rig.notice(INBOX_JOINED, 0)
    rig.lent()
    assert rig.inboxes[0].waiting == 3
    assert {each.phase for each in (*lies, later)} == {ANSWERING}


def test_reclaimed_tasks_are_first_in_the_queue_again(make: Callable[..., ProcessFrontRig]) -> None:
    rig = make(inboxes=2)  # a shared queue: it is in the front
    first, second, third = rig.lent(), rig.lent(), rig.lent()
    assert [len(rig.router.queue), *(inbox.waiting for inbox in rig.inboxes)] == [1, 1, 1]
    rig.inboxes[0].put(HEAD.pack(12345, 0, 0, 0.0), (0,))  # of a front that died
    rig.notice(DIED_IDLE, 0)
    rig.notice(INBOX_LEFT, 0)
    assert [parcel.item[: HEAD.size] for parcel in rig.router.queue] == [
        HEAD.pack(each.ticket, flags, len(each.connection.intro), rig.clock.now)
        for each, flags in ((first, FLAG_PACKED), (third, 0))  # the head of the third is known by then
    ]
    assert rig.inboxes[0].waiting == 1  # its successor serves that
    rig.sweep(0.5)
    assert not rig.front.recounts  # nothing was lost
    assert rig.returns.reader in rig.front.handlers  # whoever waits waits for what comes back
    assert rig.take(1)[0] == second.ticket
    rig.workers[1][DONE] += 1
    rig.tell(second.ticket, TICKET_KEPT)
    rig.front.before_events()
    assert rig.take(1) == (first.ticket, GET)


def test_a_reclaimed_file_goes_along(make: Callable[..., ProcessFrontRig]) -> None:
    rig = make(inboxes=2)
    client = rig.client()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
    request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000)
    client.send(request)
    while client.phase is not ANSWERING:
        client.event(IN)
    at = next(inbox for inbox in rig.inboxes if inbox.waiting)
    rig.notice(INBOX_LEFT, at.index)
    other = rig.inboxes[1 - at.index]
    message, fds = other.take()
    fd, file = fds
    os.close(fd)
    assert HEAD.unpack_from(message)[0] == client.ticket
    with os.fdopen(file, "rb") as found:
        assert found.read() == request


# ---- workers that take nothing


def test_an_event_loop_that_computes_is_relieved(make: Callable[..., ProcessFrontRig]) -> None:
    rig = make(inboxes=2, slots=2, awaited=True)
    assert isinstance(rig.front.untaken, Computing)
    first, second, third, fourth = (rig.lent() for _ in range(4))
    assert [inbox.waiting for inbox in rig.inboxes] == [2, 2]
    mine = {first.ticket, second.ticket, third.ticket, fourth.ticket}
    busy, _ = rig.take(0)  # and computes
    mine.discard(busy)
    for _ in range(2):
        ticket, _ = rig.take(1)
        mine.discard(ticket)
    rig.workers[1][DONE] += 1
    assert rig.front._patience() == LATE_SECONDS
    (lies,) = mine
    for _ in range(8):
        rig.clock.now = rig.front.now = rig.clock.now + LATE_SECONDS / 2
        rig.front.before_events()
    assert rig.inboxes[0].waiting == 0
    assert rig.take(1)[0] == lies
