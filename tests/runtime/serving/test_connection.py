"""The connection that a worker owns, beyond its phases (see test_phases.py): resets, what comes with a drain, and
streams of HTTP/2 that are answered one after the other."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from math import inf
from typing import Any

import pytest
from harness.phase_rig import TIMEOUTS, ServedRig
from harness.task_rig import answering

from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.protocol.lines import Lines
from poolctl.runtime.scoreboard import DONE, FAILED, REQUESTS, TAKEN
from poolctl.runtime.serving.leaving import WAITED_SECONDS
from poolctl.runtime.serving.phases import CLOSED, IDLE, NEW, READING, SENDING
from poolctl.runtime.system.poller import ERR, HUP, IN, OUT

pytest.importorskip("h2")
from h2.errors import ErrorCodes
from harness.http2_client import Http2Client  # needs it

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
EXPECTS = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def make() -> Iterator[Callable[..., ServedRig]]:
    made: list[ServedRig] = []

    def one(protocol: Any = None) -> ServedRig:
        rig = ServedRig(protocol or Http())
        rig.app.answer = answering(OK)
        rig.accept()
        made.append(rig)
        return rig

    yield one
    for rig in made:
        assert rig.phase is not CLOSED or rig.service.row[TAKEN] == rig.service.row[DONE]
        rig.close()


@pytest.fixture
def rig(make: Callable[..., ServedRig]) -> ServedRig:
    return make()


def reset(rig: ServedRig, mask: int = IN | HUP | ERR) -> None:
    """As from a client that closes with bytes unread."""
    os.write(rig.fd, b"never read")
    rig.client.close()
    rig.event(mask)


@pytest.mark.parametrize("mask", [IN, IN | HUP | ERR])
@pytest.mark.parametrize("begin", [b"", GET[:5]])
def test_a_reset(rig: ServedRig, begin: bytes, mask: int) -> None:
    if begin:
        rig.send(begin)
    reset(rig, mask)
    assert rig.phase is CLOSED


def test_what_was_asked_before_a_reset_is_not_executed(rig: ServedRig) -> None:
    rig.client.sendall(GET)
    reset(rig)
    assert rig.phase is CLOSED
    assert rig.service.row[REQUESTS] == 0


def test_messages_are_served_before_a_reset(make: Callable[..., ServedRig]) -> None:
    rig = make(Lines())
    lines: list[bytes] = []
    rig.app.answer = lambda request, out: bool(lines.append(request)) or True
    rig.client.sendall(b"done\n")
    reset(rig)
    assert lines == [b"done"]


def test_requests_behind_a_slow_one_whose_client_has_left(rig: ServedRig) -> None:
    """Each of them would be for nobody."""

    def slow(request: Any, out: Any) -> bool:
        reset(rig, 0)
        time.sleep(WAITED_SECONDS * 1.5)  # an app that blocks: the clock that tells is not the loop's
        return True

    rig.app.answer = slow
    rig.loop.now = time.monotonic()
    rig.send(GET * 3)
    assert rig.phase is CLOSED
    assert rig.service.row[REQUESTS] == 1


def test_a_break_in_the_middle_of_an_answer(rig: ServedRig) -> None:
    rig.app.answer = answering(bytes(1_000_000))
    rig.send(GET)
    assert rig.phase is SENDING
    rig.client.close()
    rig.event(HUP)
    assert rig.phase is CLOSED


def test_a_client_is_asked_for_its_body(rig: ServedRig) -> None:
    rig.send(EXPECTS)
    assert rig.read() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert rig.phase is READING
    rig.send(b"hello")
    assert rig.read() == OK


def test_a_client_that_does_not_even_take_that(rig: ServedRig) -> None:
    rig.fill()
    rig.send(EXPECTS)
    assert rig.poller.waits_for(rig.fd) == OUT
    assert rig.take().endswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    rig.send(b"hello")
    assert rig.read() == OK


def test_a_client_that_leaves_before_it_is_asked(rig: ServedRig) -> None:
    rig.client.sendall(EXPECTS)
    rig.client.shutdown(socket.SHUT_RD)
    rig.event(IN)
    assert rig.phase is CLOSED


def test_the_end_in_the_middle_of_a_request(rig: ServedRig) -> None:
    rig.send(GET[:9])
    rig.end()
    assert rig.phase is CLOSED
    assert rig.service.row[REQUESTS] == 0


def test_a_last_line_without_an_end(make: Callable[..., ServedRig]) -> None:
    rig = make(Lines())
    lines: list[bytes] = []
    rig.app.answer = lambda request, out: bool(lines.append(request)) or True
    rig.send(b"one\ntwo")
    rig.end()
    assert lines == [b"one", b"two"]
    assert rig.phase is CLOSED


def test_what_raises_when_an_answer_has_begun(rig: ServedRig, caplog: pytest.LogCaptureFixture) -> None:
    """A second one would follow the first."""
    rig.send(GET)
    rig.read()

    def wrong(data: bytes) -> None:
        raise RuntimeError("broken")

    rig.connection.conversation.receive = wrong
    rig.send(GET)
    assert rig.read() == b""
    assert rig.phase is CLOSED
    assert rig.service.row[FAILED] == 1


# ---- HTTP/2 with an app that is called


@pytest.fixture
def http2(make: Callable[..., ServedRig]) -> ServedRig:
    rig = make(Http(http2=True))
    rig.app.answer = answer_with(b"ok")
    return rig


def answer_with(data: bytes) -> Callable[[Any, Any], bool]:
    """A response of HTTP/1, which a stream makes frames of."""

    def answer(request: Any, out: Any) -> bool:
        out.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        return True

    return answer


def test_streams_are_answered_in_their_order(http2: ServedRig) -> None:
    client = Http2Client(http2)
    order: list[str] = []

    def answer(request: Any, out: Any) -> bool:
        order.append(request.target.decode())
        return answer_with(b"ok")(request, out)

    http2.app.answer = answer
    client.ask(1, "/whole-later", data=b"half", end=False)
    client.ask(3, "/whole")
    client.h2.send_data(1, b"rest", end_stream=True)
    client.say()
    assert order == ["/whole", "/whole-later"]
    assert client.answer(1) == client.answer(3) == (200, b"ok")
    assert http2.phase is IDLE
    assert http2.service.row[REQUESTS] == 2


def test_a_large_answer_as_the_window_allows(http2: ServedRig) -> None:
    client = Http2Client(http2)
    http2.app.answer = answer_with(bytes(1_000_000))
    client.ask(1)
    assert client.answer(1) == (200, bytes(1_000_000))
    assert http2.phase is IDLE


def test_a_client_that_opens_no_window(http2: ServedRig) -> None:
    client = Http2Client(http2)
    http2.app.answer = answer_with(bytes(1_000_000))
    client.ask(1, hears=False)
    http2.take()
    assert http2.phase is READING  # a stream is open
    http2.sweep(TIMEOUTS.write - 0.1)
    assert http2.phase is not CLOSED
    http2.sweep(0.2)
    assert http2.phase is CLOSED


def test_much_goes_out_in_several_turns(http2: ServedRig) -> None:
    """So that others have theirs."""
    http2.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_000_000)
    http2.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_000_000)
    client = Http2Client(http2)
    http2.app.answer = answer_with(bytes(3_000_000))
    client.ask(1, hears=False)
    assert http2.poller.waits_for(http2.fd) == IN
    client.h2.increment_flow_control_window(3_000_000, 1)
    client.say()
    assert http2.poller.waits_for(http2.fd) == IN | OUT
    assert client.answer(1)[1] == bytes(3_000_000)


def test_an_app_that_raises_ends_its_stream(http2: ServedRig) -> None:
    client = Http2Client(http2)

    def wrong(request: Any, out: Any) -> bool:
        raise KeyError("x")

    http2.app.answer = wrong
    client.ask(1)
    assert client.answer(1)[0] == 500
    http2.app.answer = answer_with(b"ok")
    client.ask(3)
    assert client.answer(3) == (200, b"ok")


def test_a_stream_that_cannot_be_served(http2: ServedRig) -> None:
    client = Http2Client(http2)
    client.ask(1, "/" + "x" * 10_000)
    assert client.answer(1)[0] == 414
    assert http2.service.row[REQUESTS] == 0
    client.ask(3)
    assert client.answer(3) == (200, b"ok")


def test_what_is_no_frame(http2: ServedRig) -> None:
    client = Http2Client(http2)
    http2.send(b"\x00\x00\x01\x09\x00\x00\x00\x00\x00x")  # CONTINUATION of nothing (RFC 9113, 6.10)
    assert client.gone_away
    assert http2.phase is CLOSED


@pytest.mark.parametrize("when", ["idle", "before", "sending"])
def test_a_client_that_leaves(http2: ServedRig, when: str) -> None:
    client = Http2Client(http2)
    http2.app.answer = answer_with(bytes(1_000_000))
    if when == "sending":
        client.ask(1, hears=False)
    elif when == "before":
        client.h2.ping(b"12345678")
        http2.client.sendall(client.h2.data_to_send())
    http2.client.close()
    http2.event(IN | HUP)
    assert http2.phase is CLOSED


def test_a_client_that_leaves_while_a_stream_is_answered(http2: ServedRig) -> None:
    """The others would be for nobody."""
    client = Http2Client(http2)
    answered: list[bytes] = []

    def leaves(request: Any, out: Any) -> bool:
        answered.append(request.target)
        http2.client.close()
        return answer_with(bytes(100_000))(request, out)

    http2.app.answer = leaves
    for number in (1, 3, 5):
        head = [(":method", "GET"), (":path", f"/{number}"), (":scheme", "http"), (":authority", "a")]
        client.h2.send_headers(number, head, end_stream=True)
    client.say()
    assert answered == [b"/1"]
    assert http2.phase is CLOSED


def test_who_sends_no_more_gets_its_answers(http2: ServedRig) -> None:
    client = Http2Client(http2)
    http2.app.answer = answer_with(bytes(20_000))
    client.ask(1, hears=False)
    http2.end()
    assert client.answer(1) == (200, bytes(20_000))
    http2.event(IN)  # the end, which was not looked at
    assert http2.phase is CLOSED


def sweep(rig: ServedRig) -> None:
    rig.connection.expire(rig.clock.now, rig.service)


def test_a_drain(http2: ServedRig) -> None:
    """GOAWAY, then a PING; when that is answered, no request can be on its way."""
    client = Http2Client(http2)
    client.ask(1)
    http2.connection.drain(http2.service)
    http2.event(OUT)
    assert client.gone_away
    client.ask(3, hears=False)  # sent before the client knew
    assert client.answer(3) == (200, b"ok")
    assert http2.phase is CLOSED


def test_a_request_after_the_second_goaway_may_be_sent_again(http2: ServedRig) -> None:
    client = Http2Client(http2)
    client.ask(1, data=b"half", end=False)
    http2.connection.drain(http2.service)
    http2.event(OUT)
    assert not client.gone_away  # a stream is open
    http2.clock.now += 2
    http2.loop.now = http2.clock.now
    for _ in range(2):
        sweep(http2)
        client.hear()
    assert client.gone_away
    client.ask(3)
    assert [each.error_code for each in client.events[3]] == [ErrorCodes.REFUSED_STREAM]
    client.h2.end_stream(1)
    client.say()
    assert client.answer(1) == (200, b"ok")
    assert http2.phase is CLOSED


def test_a_client_that_does_not_answer_the_ping_is_not_waited_for(http2: ServedRig) -> None:
    client = Http2Client(http2)
    client.ask(1)
    http2.connection.drain(http2.service)
    http2.event(OUT)
    sweep(http2)
    http2.clock.now += 2
    sweep(http2)
    assert http2.phase is CLOSED


def test_a_drain_lets_a_stream_come_whole(http2: ServedRig) -> None:
    client = Http2Client(http2)
    client.ask(1, data=b"half", end=False)
    http2.connection.drain(http2.service)
    http2.event(OUT)
    assert http2.phase is READING
    client.h2.end_stream(1)
    client.say()
    assert client.answer(1) == (200, b"ok")
    assert client.gone_away
    sweep(http2)
    client.hear()
    assert http2.phase is CLOSED


def test_the_last_call_counts_what_is_lost(http2: ServedRig) -> None:
    """A response that waits for a window, but not a request that has not come."""
    http2.app.answer = answer_with(bytes(1_000_000))
    client = Http2Client(http2, window=1)
    client.ask(1)
    client.ask(3, data=b"half", end=False)
    http2.connection.drain(http2.service)
    before = http2.service.row[FAILED]
    http2.connection.expire(inf, http2.service)
    assert http2.phase is CLOSED
    assert http2.service.row[FAILED] == before + 1


def test_a_preface_in_pieces(http2: ServedRig) -> None:
    http2.send(b"PRI * HTTP/2.0\r\n")
    assert http2.phase is READING
    http2.send(b"\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")  # and SETTINGS
    assert http2.read()[3] == 4
    assert http2.phase is not NEW
