"""The table of phases: every step of it is walked, by a connection that a worker owns and one that a front holds."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from harness.phase_rig import PEER, TIMEOUTS, HeldRig, Rig, ServedRig, Step, noted

from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.scoreboard import CUT, FAILED
from poolctl.runtime.serving.phases import (
    ANSWERING,
    CLOSED,
    FINISHING,
    IDLE,
    NEW,
    READING,
    SENDING,
    TRANSITIONS,
    Checked,
    Phase,
)
from poolctl.runtime.system.poller import ERR, IN, OUT

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(1_000_000)
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"


@pytest.fixture
def served(steps: list[Step]) -> Iterator[ServedRig]:
    rig = ServedRig(Http())
    rig.accept()
    rig.app.answer = answers(OK)
    yield rig
    rig.close()


@pytest.fixture
def held(steps: list[Step]) -> Iterator[HeldRig]:
    rig = HeldRig(Http())
    rig.accept()
    yield rig
    rig.close()


def answers(data: bytes, *, keep: bool = True) -> Callable[[Any, Any], bool]:
    def answer(request: Any, out: Any) -> bool:
        out.send(data)
        return keep

    return answer


class Http2Client:
    """The other side of HTTP/2."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.h2 = H2Connection(H2Configuration(client_side=True))
        self.h2.initiate_connection()

    def say(self) -> None:
        self.rig.send(self.h2.data_to_send())

    def ask(self, number: int, *, whole: bool = True) -> None:
        head = [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "a")]
        self.h2.send_headers(number, head, end_stream=whole)
        self.say()

    def pings(self, count: int) -> None:
        for _ in range(count):
            self.h2.ping(b"12345678")
        self.say()


@pytest.fixture
def served_http2(steps: list[Step]) -> Iterator[ServedRig]:
    pytest.importorskip("h2")
    rig = ServedRig(Http(http2=True))
    rig.accept()
    rig.app.answer = answers(OK)
    yield rig
    rig.close()


# ---- the connection that a worker owns


def test_kept_from_request_to_request(served: ServedRig, steps: list[Step]) -> None:
    served.send(GET)
    assert served.read() == OK
    served.send(GET)
    assert served.read() == OK
    assert steps == [(NEW, ANSWERING), (ANSWERING, IDLE), (IDLE, ANSWERING), (ANSWERING, IDLE)]


def test_read_in_pieces(served: ServedRig, steps: list[Step]) -> None:
    served.send(GET[:5])
    served.send(GET[5:])
    served.send(GET + GET[:5])
    assert served.read() == OK * 2
    assert steps == [
        (NEW, READING),
        (READING, ANSWERING),
        (ANSWERING, IDLE),
        (IDLE, ANSWERING),
        (ANSWERING, IDLE),
        (IDLE, READING),
    ]


def test_a_client_that_falls_behind(served: ServedRig, steps: list[Step]) -> None:
    served.app.answer = answers(LARGE)
    served.send(GET)
    assert served.phase is SENDING
    served.client.sendall(GET)
    assert served.poller.waits_for(served.fd) == OUT  # nothing more is read meanwhile
    served.app.answer = answers(OK)
    assert served.take() == LARGE
    assert served.phase is IDLE
    served.event(IN)
    assert served.read() == OK
    assert steps[:3] == [(NEW, ANSWERING), (ANSWERING, SENDING), (SENDING, ANSWERING)]


def test_the_last_answer_goes_out_before_the_end(served: ServedRig, steps: list[Step]) -> None:
    served.app.answer = answers(LARGE, keep=False)
    served.send(GET + GET)
    assert served.phase is FINISHING
    assert served.take() == LARGE
    assert steps == [(NEW, ANSWERING), (ANSWERING, FINISHING), (FINISHING, CLOSED)]


def test_a_closed_connection_serves_another_client(served: ServedRig, steps: list[Step]) -> None:
    served.app.answer = answers(OK, keep=False)
    served.send(GET)
    before = served.connection
    near, other = socket.socketpair()
    near.setblocking(False)
    with other:
        served.loop.accept(near.detach(), PEER, served.service, served.door)
        assert list(served.loop.handlers.values())[-1] is before
        assert before.phase is NEW
        before.close(served.service)
    assert steps[1:3] == [(ANSWERING, CLOSED), (CLOSED, NEW)]


@pytest.mark.parametrize(
    ("begin", "phase", "patience", "words"),
    [
        (b"", NEW, TIMEOUTS.head, b""),
        (GET[:5], READING, TIMEOUTS.head, b"HTTP/1.1 408"),
        (POST + b"12345", READING, TIMEOUTS.body, b"HTTP/1.1 408"),
        (GET, IDLE, TIMEOUTS.idle, b""),
    ],
)
@pytest.mark.parametrize("kind", ["served", "held"])
def test_each_phase_has_its_patience(
    kind: str, begin: bytes, phase: Phase, patience: float, words: bytes, request: pytest.FixtureRequest
) -> None:
    rig: Any = request.getfixturevalue(kind)
    if begin:
        rig.send(begin)
    if kind == "held" and phase is IDLE:
        rig.give_back()
    rig.read()
    assert rig.phase is phase
    if phase is READING and begin.startswith(POST):  # looked at twice a second, as its sweep does
        for _ in range(int(patience * 2) - 2):
            rig.sweep(0.5)
    else:
        rig.sweep(patience - 0.1)
    assert rig.phase is phase
    for _ in range(8):
        if rig.phase is not CLOSED:
            rig.sweep(0.5)
    assert rig.phase is CLOSED
    assert rig.read().startswith(words)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("kind", ["served", "held"])
def test_a_client_that_reads_nothing_has_the_time_of_a_write(
    kind: str, keep: bool, request: pytest.FixtureRequest
) -> None:
    rig: Any = request.getfixturevalue(kind)
    if kind == "served":
        rig.app.answer = answers(LARGE, keep=keep)
        rig.send(GET)
    else:
        rig.send(GET)
        rig.fill()
        rig.give_back(keep=keep, left=LARGE)
    assert rig.phase is (SENDING if keep else FINISHING)
    rig.sweep(TIMEOUTS.write - 0.1)
    assert rig.phase is not CLOSED
    rig.sweep(0.2)
    assert rig.phase is CLOSED


def test_what_came_while_the_thread_was_busy_is_no_silence(served: ServedRig) -> None:
    served.send(GET[:5])
    served.client.sendall(GET[5:])
    served.sweep(TIMEOUTS.head + 1)
    assert served.phase is IDLE
    assert served.read() == OK


@pytest.mark.parametrize("kind", ["served", "held"])
def test_a_drain_ends_an_idle_connection_and_waits_for_a_request(kind: str, request: pytest.FixtureRequest) -> None:
    rig: Any = request.getfixturevalue(kind)
    rig.send(GET)
    if kind == "held":
        rig.give_back()
    rig.read()
    rig.connection.drain(rig.service)
    assert rig.phase is IDLE
    rig.event(OUT)  # an idle connection is writable
    assert rig.phase is CLOSED


@pytest.mark.parametrize("kind", ["served", "held"])
def test_a_drain_lets_a_request_come_whole(kind: str, request: pytest.FixtureRequest) -> None:
    rig: Any = request.getfixturevalue(kind)
    rig.send(GET[:5])
    rig.connection.drain(rig.service)
    rig.event(OUT)
    assert rig.phase is READING
    rig.send(GET[5:9])
    assert rig.phase is READING
    rig.send(GET[9:])
    if kind == "held":
        assert rig.phase is ANSWERING
        rig.give_back(keep=False)
    else:
        assert rig.read() == OK
    assert rig.phase is CLOSED


def test_a_new_connection_has_a_moment_in_a_drain(served: ServedRig) -> None:
    served.connection.drain(served.service)
    served.event(OUT)
    assert served.phase is NEW
    served.sweep(1.1)
    assert served.phase is CLOSED


@pytest.mark.parametrize("kind", ["served", "held"])
def test_a_bad_request_is_refused(kind: str, steps: list[Step], request: pytest.FixtureRequest) -> None:
    rig: Any = request.getfixturevalue(kind)
    rig.send(b"GET / HTTP/9.9\r\n\r\n")
    assert rig.phase is CLOSED
    assert rig.read().startswith(b"HTTP/1.1 505")
    assert steps == [(NEW, CLOSED)]


def test_a_client_that_leaves_while_it_is_sent_to(served: ServedRig) -> None:
    served.app.answer = answers(LARGE)
    served.send(GET)
    served.client.close()
    served.event(OUT)
    assert served.phase is CLOSED


def test_what_the_app_raises_is_answered(served: ServedRig, steps: list[Step]) -> None:
    def wrong(request: Any, out: Any) -> bool:
        raise KeyError("x")

    served.app.answer = wrong
    served.send(GET)
    assert served.read().startswith(b"HTTP/1.1 500")
    assert steps == [(NEW, ANSWERING), (ANSWERING, CLOSED)]


def test_what_the_connection_raises_ends_it(served: ServedRig) -> None:
    def wrong(data: bytes) -> None:
        raise RuntimeError("x")

    served.connection.conversation.receive = wrong
    served.send(GET)
    assert served.phase is CLOSED
    assert served.read().startswith(b"HTTP/1.1 500")


# ---- HTTP/2, whose requests overlap


def test_streams_one_after_the_other(served_http2: ServedRig, steps: list[Step]) -> None:
    client = Http2Client(served_http2)
    client.say()
    assert served_http2.phase is NEW
    client.ask(1)
    client.ask(3, whole=False)
    client.h2.reset_stream(3)
    client.say()
    assert steps == [(NEW, ANSWERING), (ANSWERING, IDLE), (IDLE, READING), (READING, IDLE)]


def test_a_stream_that_comes_while_another_is_answered(served_http2: ServedRig, steps: list[Step]) -> None:
    client = Http2Client(served_http2)
    client.say()
    client.ask(1, whole=False)
    client.ask(3)
    assert steps == [(NEW, READING), (READING, ANSWERING), (ANSWERING, READING)]


@pytest.mark.parametrize("before", ["new", "idle", "reading"])
def test_frames_that_the_client_does_not_take(served_http2: ServedRig, steps: list[Step], before: str) -> None:
    client = Http2Client(served_http2)
    if before != "new":
        client.say()
        client.ask(1, whole=before == "idle")
        served_http2.read()
    served_http2.fill()
    client.pings(1)
    assert served_http2.phase is SENDING
    served_http2.take()
    assert served_http2.phase is (READING if before == "reading" else IDLE)
    assert (getattr(Phase, before.upper()), SENDING) in steps


# ---- the connection that a front holds


def test_lent_and_kept(held: HeldRig, steps: list[Step]) -> None:
    held.send(GET)
    assert held.phase is ANSWERING
    held.sweep(1e6)  # its client is not waited for
    assert held.phase is ANSWERING
    held.give_back()
    held.send(GET)
    held.give_back()
    assert steps == [(NEW, ANSWERING), (ANSWERING, IDLE), (IDLE, ANSWERING), (ANSWERING, IDLE)]


def test_a_request_that_came_ahead_is_lent_at_once(held: HeldRig, steps: list[Step]) -> None:
    held.send(GET + GET + GET[:5])
    held.give_back()
    assert held.phase is ANSWERING
    assert len(held.front.sent) == 2
    held.give_back()
    assert held.phase is READING
    assert steps[-1] == (IDLE, READING)


def test_what_is_left_is_sent_by_the_front(held: HeldRig, steps: list[Step]) -> None:
    held.send(GET)
    held.give_back(left=OK)
    assert held.phase is SENDING
    assert held.take() == OK
    assert held.phase is IDLE
    held.send(GET)
    held.give_back(keep=False, left=OK)
    assert held.phase is FINISHING
    assert held.take() == OK
    assert steps[-3:] == [(IDLE, ANSWERING), (ANSWERING, FINISHING), (FINISHING, CLOSED)]


def test_a_worker_thread_clears_the_ticket_and_says_no_more(held: HeldRig) -> None:
    held.send(GET)
    held.connection.ticket = 0
    assert held.phase is ANSWERING  # nobody has looked yet
    held.front.lent.clear()
    held.send(GET)
    assert held.phase is ANSWERING
    assert len(held.front.sent) == 2
    held.connection.ticket = 0
    held.front.lent.clear()
    held.sweep(0.5)
    assert held.phase is IDLE


@pytest.mark.parametrize(("began", "words"), [(False, b"HTTP/1.1 502"), (True, b"")])
def test_the_death_of_its_worker(held: HeldRig, steps: list[Step], began: bool, words: bytes) -> None:
    held.send(GET)
    held.front.died(held.ticket, began)
    assert held.phase is CLOSED
    assert held.read()[:12] == words[:12]
    assert steps == [(NEW, ANSWERING), (ANSWERING, CLOSED)]


def test_a_reset_while_it_is_lent_ends_it_when_it_is_back(held: HeldRig) -> None:
    held.send(GET)
    held.client.close()
    held.event(ERR)
    assert held.phase is ANSWERING
    held.give_back()
    assert held.phase is CLOSED


def test_the_end_of_what_the_client_sends_waits_for_its_answer(held: HeldRig) -> None:
    held.send(GET)
    held.end()
    assert held.phase is ANSWERING
    held.give_back(left=OK)
    assert held.take() == OK
    assert held.phase is CLOSED


# ---- the table


def test_every_step_of_the_table_was_walked() -> None:
    """Walked by the tests above, once more and together, since their order is nobody's."""
    walked: set[Step] = set()
    for walk in WALKS:
        with noted() as steps:
            walk(steps)
            walked.update(steps)
    assert walked == {(before, after) for before, afters in TRANSITIONS.items() for after in afters}


def walk_served(test: Callable[..., None], *more: Any) -> Callable[[list[Step]], None]:
    def walk(steps: list[Step]) -> None:
        rig = ServedRig(Http(http2=True))
        rig.accept()
        rig.app.answer = answers(OK)
        test(rig, steps, *more)
        rig.close()

    return walk


def walk_held(test: Callable[..., None], *more: Any) -> Callable[[list[Step]], None]:
    def walk(steps: list[Step]) -> None:
        rig = HeldRig(Http())
        rig.accept()
        test(rig, steps, *more)
        rig.close()

    return walk


def used_again(steps: list[Step]) -> None:
    rig = ServedRig(Http())
    rig.accept()
    test_a_closed_connection_serves_another_client(rig, steps)
    rig.close()


def left_while(*sent: bytes) -> Callable[[list[Step]], None]:
    def walk(steps: list[Step]) -> None:
        rig = ServedRig(Http())
        rig.accept()
        rig.app.answer = answers(LARGE)
        for piece in sent:
            rig.send(piece)
        rig.connection.close(rig.service)
        rig.close()

    return walk


def only_preface(steps: list[Step]) -> None:
    """What an event loop makes of HTTP/2 has no phase of its own for a connection without a stream."""
    rig = ServedRig(Http(http2=True))
    rig.connection = rig.accept()
    rig.connection.phase = IDLE
    rig.close()


def stream_after_frames(steps: list[Step]) -> None:
    """A stream that is not whole, seen when what waited has gone out."""
    rig = HeldRig(Http())
    rig.accept()
    rig.send(GET + GET[:5])
    rig.give_back(left=OK)
    rig.take()
    rig.close()


WALKS: list[Callable[[list[Step]], None]] = [
    walk_served(test_kept_from_request_to_request),
    walk_served(test_read_in_pieces),
    walk_served(test_a_client_that_falls_behind),
    walk_served(test_the_last_answer_goes_out_before_the_end),
    walk_served(test_streams_one_after_the_other),
    walk_served(test_a_stream_that_comes_while_another_is_answered),
    *(walk_served(test_frames_that_the_client_does_not_take, before) for before in ("new", "idle", "reading")),
    walk_served(test_what_the_app_raises_is_answered),
    walk_held(test_lent_and_kept),
    walk_held(test_what_is_left_is_sent_by_the_front),
    used_again,
    left_while(),
    left_while(GET[:5]),
    left_while(GET),
    only_preface,
    stream_after_frames,
]


@pytest.mark.parametrize("before", list(Phase))
@pytest.mark.parametrize("after", list(Phase))
def test_a_step_that_the_table_does_not_have_raises(before: Phase, after: Phase) -> None:
    class Thing:
        phase = NEW

    class Kept:
        """Where the phase is kept, as a slot is."""

        def __get__(self, thing: Any, kind: Any) -> Any:
            return thing.__dict__["kept"]

        def __set__(self, thing: Any, phase: Phase) -> None:
            thing.__dict__["kept"] = phase

    name = "phase"
    setattr(Thing, name, Checked(Kept()))
    thing: Any = Thing()
    thing.__dict__["kept"] = before
    if after is before or after in TRANSITIONS[before]:
        thing.phase = after
        assert thing.phase is after
    else:
        with pytest.raises(AssertionError):
            thing.phase = after
        assert thing.phase is before


# ---- the log, which says why


@pytest.fixture
def debugged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.DEBUG, "poolctl")
    return lambda: [record.getMessage() for record in caplog.records]


CLIENT = "connection of 192.0.2.1:40000"


@pytest.mark.parametrize("kind", ["served", "held"])
@pytest.mark.parametrize(
    ("sent", "seconds", "line"),
    [
        (b"", TIMEOUTS.head + 1, "was NEW for 11.0 s (timeouts.head); closed"),
        (GET[:5], TIMEOUTS.head + 1, "was READING for 11.0 s (timeouts.head); closed"),
        (POST, TIMEOUTS.idle + 1, "was READING for 61.0 s (timeouts.idle); closed"),
        (GET, TIMEOUTS.idle + 1, "was IDLE for 61.0 s (timeouts.idle); closed"),
    ],
    ids=["new", "head", "body", "idle"],
)
def test_the_log_says_why_a_connection_was_closed(
    kind: str, sent: bytes, seconds: float, line: str, request: pytest.FixtureRequest, debugged: Callable[[], list[str]]
) -> None:
    rig = request.getfixturevalue(kind)
    if sent:
        rig.send(sent)
    if rig.phase is ANSWERING:
        rig.give_back()
    rig.sweep(seconds - 2)
    assert debugged() == []
    rig.sweep(2)
    assert rig.phase is CLOSED
    assert debugged() == [f"{CLIENT} {line}"]


def test_the_log_says_that_a_client_does_not_read(served: ServedRig, debugged: Callable[[], list[str]]) -> None:
    served.app.answer = answers(LARGE)
    served.send(GET)
    served.sweep(TIMEOUTS.write + 1)
    assert debugged() == [f"{CLIENT} was SENDING for 31.0 s (timeouts.write); closed"]


def test_the_log_says_that_a_body_drips(served: ServedRig, debugged: Callable[[], list[str]]) -> None:
    served.send(POST)
    for _ in range(int(TIMEOUTS.body) + 2):
        served.sweep(1)
    assert served.phase is CLOSED
    assert debugged() == [f"{CLIENT} was READING for 21.0 s (timeouts.body); closed"]


@pytest.mark.parametrize("kind", ["served", "held"])
def test_the_log_says_where_a_stop_finds_a_connection(
    kind: str, request: pytest.FixtureRequest, debugged: Callable[[], list[str]]
) -> None:
    rig = request.getfixturevalue(kind)
    rig.sweep(3)
    rig.connection.drain(rig.service)
    rig.sweep(2)
    assert rig.phase is CLOSED
    assert debugged() == [
        f"draining: {CLIENT} has been NEW for 3.0 s; it ends once what has arrived is answered",
        f"{CLIENT} was NEW for 2.0 s (timeouts.drain); closed",
    ]


def test_without_debug_the_log_says_nothing(held: HeldRig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "poolctl")
    held.connection.drain(None)
    held.sweep(TIMEOUTS.head + 1)
    assert held.phase is CLOSED
    assert caplog.records == []


def test_an_illegal_step_that_a_boundary_swallows_fails_the_test_all_the_same() -> None:
    rig = ServedRig(Http())
    with pytest.raises(AssertionError, match=r"CLOSED -> Phase\.IDLE"), noted():  # noqa: PT012  # the end of it raises
        connection = rig.accept()
        connection.close(rig.service)
        with suppress(AssertionError):  # as serving_async/boundary.py and loop.fail, which log it
            connection.phase = IDLE
    rig.close()


STREAMS = replace(TIMEOUTS, stream=5.0)
CUT_OFF = "GET / HTTP/1.1 went on for timeouts.stream (5 s) in a drain: cut off"


def waits_in_a_drain(rig: Rig, seconds: float) -> None:
    """The time between two looks of the loop passes again and again."""
    rig.loop.timeouts = STREAMS
    rig.loop.drain(rig.service)
    for _ in range(int(seconds * 2)):
        rig.clock.now += 0.5
        rig.loop.now = rig.clock.now
        rig.loop._sweep(rig.clock.now, rig.service)


def test_an_owned_response_that_waits_for_its_client_in_a_drain_is_cut_off(
    served: ServedRig, caplog: pytest.LogCaptureFixture
) -> None:
    served.app.answer = answers(LARGE)
    served.send(GET)
    assert served.phase is SENDING
    waits_in_a_drain(served, 5.0)
    assert served.phase is SENDING
    with caplog.at_level(logging.WARNING, "poolctl"):
        waits_in_a_drain(served, 0.5)
    assert served.phase is CLOSED
    assert caplog.messages == [CUT_OFF]
    assert served.service.row[FAILED] == 1


def test_a_held_response_that_waits_for_its_client_in_a_drain_is_cut_off(
    held: HeldRig, caplog: pytest.LogCaptureFixture
) -> None:
    held.send(GET)
    waits_in_a_drain(held, 10.0)
    assert held.phase is ANSWERING, "the app has it, and nothing of the response has come here"
    held.fill()
    held.give_back(left=LARGE)
    waits_in_a_drain(held, 5.0)
    assert held.phase is SENDING
    with caplog.at_level(logging.WARNING, "poolctl"):
        waits_in_a_drain(held, 1.0)
    assert held.phase is CLOSED
    assert caplog.messages == [CUT_OFF]
    assert held.front.router.row[CUT] == 1


def test_a_response_that_its_client_takes_in_time_is_not(served: ServedRig, caplog: pytest.LogCaptureFixture) -> None:
    served.app.answer = answers(LARGE)
    served.send(GET)
    waits_in_a_drain(served, 4.0)
    assert served.take().endswith(LARGE[-100:])
    waits_in_a_drain(served, 4.0)
    assert "cut off" not in caplog.text
    assert served.service.row[FAILED] == 0
