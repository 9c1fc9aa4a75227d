"""The error boundary around apps that are called: what each end of a request counts, logs and answers."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from typing import Any

import pytest
from harness.phase_rig import PEER, Answering, row

from poolctl.errors import ClientGone
from poolctl.runtime.app import ConnectionApp
from poolctl.runtime.buffers.outbound import Sending
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.protocol.raw import Raw
from poolctl.runtime.scoreboard import BUCKETS, FAILED, REQUESTS, SECONDS, SINCE
from poolctl.runtime.serving.service import (
    AFTER_RESPONSE,
    CONVERSATION,
    REQUEST,
    WEBSOCKET,
    Outcome,
    Service,
    Work,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
SETTING: ContextVar[str] = ContextVar("SETTING", default="unset")


class Noted:
    """An access log in memory; it is its own observer."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, bool, int]] = []
        self.sent = 0

    @property
    def observer(self) -> Noted:
        return self

    def observe(self) -> Noted:
        return self

    def first(self, data: bytes) -> None:
        self.sent += len(data)

    def more(self, count: int) -> None:
        self.sent += count

    def note(self, request: Any, sent: Any, took: int, now: int) -> None:
        self.lines.append((request, sent is not None, took))


class Rig:
    """A service, an app and an output whose other end a test reads."""

    def __init__(self) -> None:
        self.app: Any = Answering()
        self.entries = Noted()
        self.row = row()
        self.protocol = Http()
        self.service = Service(self.app, self.protocol, self.row, entries=self.entries)
        self.near, self.client = socket.socketpair()
        self.near.setblocking(False)
        self.client.setblocking(False)
        self.out = Sending()
        self.out.fd = self.near.fileno()
        conversation = self.protocol.conversation(PEER)
        conversation.receive(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nHEAD /b HTTP/1.1\r\nHost: a\r\n\r\n")
        self.request, self.head = conversation.requests

    def answer(self, request: Any = None) -> bool:
        return self.service.answer(request or self.request, self.out)

    def read(self) -> bytes:
        try:
            return self.client.recv(65536)
        except BlockingIOError:
            return b""

    def counts(self) -> tuple[int, int]:
        """(requests, failed), when no request is in flight."""
        assert self.row[SINCE] == 0
        return self.row[REQUESTS], self.row[FAILED]

    def close(self) -> None:
        self.near.close()
        self.client.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.close()


def does(*steps: Any) -> Callable[[Any, Any], bool]:
    """Sends bytes, raises errors; answers whether to keep."""

    def answer(request: Any, out: Any) -> bool:
        for step in steps:
            if isinstance(step, bytes):
                out.send(step)
            elif isinstance(step, BaseException):
                raise step
        return bool(steps and steps[-1] is True)

    return answer


# ---- apps that are called


@pytest.mark.parametrize("keep", [True, False])
def test_answered(rig: Rig, keep: bool) -> None:
    rig.app.answer = does(OK, keep)
    assert rig.answer() is keep
    assert rig.read() == OK
    assert rig.counts() == (1, 0)
    ((request, sent, took),) = rig.entries.lines
    assert (request, sent) == (rig.request, True)
    assert took > 0
    assert rig.entries.sent == len(OK)
    assert sum(rig.row[SECONDS : SECONDS + BUCKETS]) == 1


def test_it_is_noted_since_when_the_app_has_a_request(rig: Rig) -> None:
    seen = []

    def answer(request: Any, out: Any) -> bool:
        seen.append(rig.row[SINCE])
        return True

    rig.app.answer = answer
    rig.answer()
    assert seen[0] > 0


@pytest.mark.parametrize(
    "error", [KeyError("x"), SystemExit(1), KeyboardInterrupt(), GeneratorExit(), BaseExceptionGroup("g", [KeyError()])]
)
def test_whatever_the_app_raises(rig: Rig, error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    rig.app.answer = does(error)
    assert rig.answer() is None
    assert rig.read().startswith(b"HTTP/1.1 500")
    assert rig.counts() == (1, 1)
    assert rig.entries.lines[0][1] is True
    (record,) = caplog.records
    assert record.getMessage() == "the app raised while answering a request"
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    rig.app.answer = does(OK, True)
    assert rig.answer() is True
    assert rig.counts() == (2, 1)


def test_a_refusal_fits_its_request(rig: Rig) -> None:
    rig.app.answer = does(KeyError())
    rig.answer(rig.head)
    assert rig.read().partition(b"\r\n\r\n")[2] == b""  # RFC 9110, 9.3.2: no body for HEAD


def test_what_was_sent_is_not_followed_by_another_answer(rig: Rig) -> None:
    rig.app.answer = does(b"HTTP/1.1 200 OK\r\n", KeyError())
    assert rig.answer() is None
    assert rig.read() == b"HTTP/1.1 200 OK\r\n"
    assert rig.counts() == (1, 1)


def test_a_client_that_is_gone_is_no_failure_of_the_app(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    rig.client.close()
    rig.app.answer = does(OK, True)
    assert rig.answer() is False
    wrapped = RuntimeError("wrapped")
    wrapped.__cause__ = ClientGone("left")
    rig.app.answer = does(wrapped)
    assert rig.answer() is False
    assert rig.counts() == (2, 0)
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_a_client_that_leaves_before_it_gets_a_500(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    rig.client.close()
    rig.app.answer = does(KeyError())
    assert rig.answer() is None
    assert rig.counts() == (1, 1)
    assert "before it got a 500" in caplog.text


def test_each_request_begins_in_the_context_of_the_start(rig: Rig) -> None:
    context = copy_context()
    context.run(SETTING.set, "of the start")
    seen = []

    def answer(request: Any, out: Any) -> bool:
        seen.append(SETTING.get())
        SETTING.set("of a request")
        return True

    rig.app.answer = answer
    service = Service(rig.app, rig.protocol, rig.row, context)
    for _ in range(2):
        service.answer(rig.request, rig.out)
    assert seen == ["of the start"] * 2
    assert SETTING.get() == "unset"


def test_several_look_at_a_response_in_their_order(rig: Rig) -> None:
    order: list[str] = []

    class Looks:
        def __init__(self, name: str) -> None:
            self.name = name

        def first(self, data: bytes) -> None:
            order.append(self.name)

        def more(self, count: int) -> None:
            order.append(f"{self.name} {count}")

    watching = (Looks("a"), None, Looks("b"))
    rig.service = Service(rig.app, rig.protocol, rig.row, entries=rig.entries, watching=watching)
    rig.app.answer = does(OK, b"xyz", True)
    rig.answer()
    assert order == ["a", "b", "a 3", "b 3"]
    assert rig.entries.sent == len(OK) + 3


# ---- apps that own a connection


class Talking(ConnectionApp):
    """``says``: what it does with its socket."""

    protocol = "raw"
    says: Callable[..., None]

    def load(self, surroundings: Any) -> None: ...

    def serve(self, request: Any, out: Any) -> bool:
        return False

    def converse(self, sock: Any, received: bytes, idle: float, write: float, peer: Any) -> None:
        self.says(sock, received, idle, write, peer)


def conversing(rig: Rig, says: Any) -> None:
    app = Talking()
    app.says = says
    service = Service(app, Raw(), rig.row)
    service.converse(rig.near, b"hello", 60.0, 30.0, PEER)


def test_a_conversation(rig: Rig) -> None:
    got = []

    def says(sock: Any, *more: Any) -> None:
        got.append(more)
        sock.send(b"bye")

    conversing(rig, says)
    assert got == [(b"hello", 60.0, 30.0, PEER)]
    assert rig.read() == b"bye"
    assert rig.counts() == (1, 0)


@pytest.mark.parametrize(
    ("error", "failed", "level"),
    [
        (ClientGone("left"), 0, "INFO"),
        (TimeoutError("silent"), 0, "INFO"),
        (KeyError("x"), 1, "ERROR"),
        (SystemExit(), 1, "ERROR"),
    ],
)
def test_how_a_conversation_may_end(
    rig: Rig, error: BaseException, failed: int, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def says(*more: Any) -> None:
        raise error

    conversing(rig, says)
    assert rig.counts() == (1, failed)
    assert [record.levelname for record in caplog.records] == [level]


# ---- the steps, for apps that are awaited


def test_begin_and_end(rig: Rig) -> None:
    first = rig.service.begin()
    second = rig.service.begin()
    assert rig.row[SINCE] == first <= second  # the oldest counts
    rig.service.end(first)
    assert rig.row[SINCE] == 0
    assert rig.counts() == (1, 0)
    assert sum(rig.row[SECONDS : SECONDS + BUCKETS]) == 1


def test_the_longest_request_has_a_bucket(rig: Rig) -> None:
    rig.service.end(-(2**62))
    assert sum(rig.row[SECONDS : SECONDS + BUCKETS]) == 1


@pytest.mark.parametrize(
    ("error", "work", "options", "outcome", "failed", "says"),
    [
        (KeyError(), REQUEST, {}, Outcome.FAILED, 1, "while answering a request"),
        (KeyError(), AFTER_RESPONSE, {}, Outcome.FAILED, 1, "after its response"),
        (KeyError(), WEBSOCKET, {}, Outcome.FAILED, 1, "while it had a WebSocket"),
        (ClientGone(), REQUEST, {"line": "GET / HTTP/1.1"}, Outcome.LEFT, 0, "left during GET / HTTP/1.1"),
        (ClientGone(), CONVERSATION, {}, Outcome.LEFT, 0, "left during a conversation"),
        (ClientGone(), AFTER_RESPONSE, {}, Outcome.FAILED, 1, "after its response"),
        (KeyError(), REQUEST, {"cancelled": True}, Outcome.STOPPED, 1, "a request was cancelled"),
        (KeyError(), REQUEST, {"cancelled": True, "complete": True}, Outcome.STOPPED, 0, "was cancelled"),
        (KeyError(), REQUEST, {"late": True}, Outcome.TOO_LATE, 1, ""),
        (ClientGone(), REQUEST, {"late": True, "cancelled": True}, Outcome.TOO_LATE, 1, ""),
    ],
)
def test_what_an_exception_means(
    rig: Rig,
    error: BaseException,
    work: Work,
    options: dict[str, Any],
    outcome: Outcome,
    failed: int,
    says: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    assert rig.service.raised(error, work, **options) is outcome
    assert rig.counts() == (0, failed)
    assert says in caplog.text
    assert len(caplog.records) == bool(says)


def test_outcomes_name_the_status_of_the_answer() -> None:
    assert {outcome.name: outcome.value for outcome in Outcome} == {
        "LEFT": 0,
        "FAILED": 500,
        "STOPPED": 503,
        "TOO_LATE": 504,
    }


@pytest.mark.parametrize(("status", "answered"), [(504, True), (500, True), (0, False)])
def test_refuse(rig: Rig, status: int, answered: bool) -> None:
    assert rig.service.refuse(rig.request, rig.out, status) is answered
    assert rig.read().startswith(b"HTTP/1.1 %d" % status if answered else b"")
    assert rig.service.refuse(rig.request, rig.out, 500) is not answered  # a second answer is none
    assert rig.read() == (b"" if answered else rig.protocol.refusal(500))


def test_refuse_a_client_that_has_left(rig: Rig) -> None:
    rig.client.close()
    assert rig.service.refuse(rig.request, rig.out, 504) is False


def test_counts_of_what_has_no_answer(rig: Rig) -> None:
    rig.service.fail()
    rig.service.count()
    assert rig.counts() == (1, 1)


def test_note(rig: Rig) -> None:
    rig.service.note(rig.request, rig.entries, rig.service.begin())
    rig.service.note(rig.request, None, 1)
    assert [line[1] for line in rig.entries.lines] == [True, False]
    assert all(took >= 0 for _, _, took in rig.entries.lines)
    silent = Service(rig.app, rig.protocol, rig.row)
    silent.note(rig.request, None, 1)
    assert len(rig.entries.lines) == 2
