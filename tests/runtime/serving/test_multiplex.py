"""What a connection with several requests in flight does next, with a conversation that a test scripts."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
from harness.phase_rig import PEER

from poolctl.errors import ClientGone
from poolctl.runtime.buffers.outbound import TURN_BYTES
from poolctl.runtime.serving.multiplex import multiplex
from poolctl.runtime.serving.phases import ANSWERING, IDLE, NEW, READING, SENDING, Phase
from poolctl.runtime.system.poller import IN, OUT


class Streams:
    """A conversation of HTTP/2, as far as multiplex knows it. ``pushes``: bytes that each push moves into frames."""

    def __init__(self, *complete: Any, pushes: tuple[int, ...] = (), **more: Any) -> None:
        self.complete = deque(complete)
        self.pushes = deque(pushes)
        self.waiting = b"settings"
        self.failure = more.get("failure", 0)
        self.pending = more.get("pending", False)
        self.over = more.get("over", False)
        self.lost = more.get("lost", False)
        self.stuck = more.get("stuck", False)
        self.told = more.get("told", False)
        self.gave_up = 0
        self.peer = PEER

    def frames(self) -> bytes:
        found, self.waiting = self.waiting, b""
        return found

    def push(self) -> int:
        count = self.pushes.popleft() if self.pushes else 0
        self.waiting += b"p" if count else b""
        return count

    def leave(self, now: float) -> None:
        self.waiting += b"goaway"

    def give_up(self) -> None:
        self.gave_up += 1

    def stands_still(self) -> bool:
        return bool(self.stuck)


class Stream:
    """``refused``: its status."""

    line = b"GET / HTTP/2"

    def __init__(self, refused: int = 0) -> None:
        self.refused = refused
        self.request = object()
        self.conversation = SimpleNamespace(peer=PEER)
        self.sent = b""
        self.ends: list[bool] = []

    def send(self, data: bytes) -> None:
        self.sent += data

    def end(self, *, whole: bool) -> None:
        self.ends.append(whole)


class Carrier:
    """The connection. ``takes``: sends that go out before the client falls behind; ``gone``: it has left."""

    def __init__(self, conversation: Streams, *, takes: int = 1000, gone: bool = False, leaving: bool = False) -> None:
        self.conversation: Any = conversation
        self.takes = takes
        self.gone = gone
        self.leaving = leaving
        self.mask = IN
        self.phase: Phase = IDLE
        self.since = 0.0
        self.outbound: object = None
        self.sent: list[bytes] = []
        self.calls: list[Any] = []
        self.loop: Any = SimpleNamespace(now=7.0, modify=lambda _, mask: self.calls.append(mask))

    def send(self, data: bytes) -> None:
        if self.gone:
            raise ClientGone("the client has left")
        self.sent.append(data)
        if len(self.sent) > self.takes:
            self.outbound = self

    def close(self, service: Any) -> None:
        self.calls.append("close")

    def turn_away(self, status: int, service: Any) -> None:
        self.calls.append(status)


def after(carrier: Carrier, answer: Any = True) -> Carrier:
    """The carrier, when multiplex has returned. ``answer``: that of the service."""

    def answers(request: Any, stream: Any) -> Any:
        assert carrier.phase is ANSWERING
        carrier.conversation.waiting += b"answer"
        return answer

    protocol = SimpleNamespace(farewell=lambda status, peer, line: b"%d for %s" % (status, line))
    service: Any = SimpleNamespace(answer=answers, protocol=protocol)
    multiplex(carrier, service)  # type: ignore[arg-type]  # has what it needs
    return carrier


@pytest.mark.parametrize(("answer", "whole"), [(True, True), (False, True), (None, False)])
def test_complete_streams_are_answered_in_order(answer: Any, whole: bool) -> None:
    streams = [Stream(), Stream()]
    carrier = after(Carrier(Streams(*streams)), answer)
    assert carrier.sent == [b"settings", b"answer", b"answer"]
    assert [stream.ends for stream in streams] == [[whole], [whole]]  # a reset tells the client of a failed one
    assert (carrier.phase, carrier.since, carrier.calls) == (IDLE, 7.0, [])


def test_a_refused_stream_gets_its_status_and_the_app_never_hears_of_it() -> None:
    stream = Stream(431)
    carrier = after(Carrier(Streams(stream)))
    assert (stream.sent, stream.ends) == (b"431 for GET / HTTP/2", [True])
    assert b"answer" not in carrier.sent


def test_a_client_that_falls_behind_is_answered_no_further() -> None:
    streams = Streams(Stream(), Stream(), Stream())
    carrier = after(Carrier(streams, takes=1))
    assert len(streams.complete) == 2
    assert (carrier.phase, carrier.calls, streams.gave_up) == (SENDING, [OUT], 0)


def test_a_large_answer_leaves_other_connections_their_turn() -> None:
    streams = Streams(pushes=(TURN_BYTES // 2, TURN_BYTES // 2, TURN_BYTES // 2))
    carrier = after(Carrier(streams))
    assert len(streams.pushes) == 1
    assert (carrier.calls, streams.gave_up) == ([IN | OUT], 0)


def test_a_client_that_gives_no_window_does_not_begin_a_new_wait() -> None:
    carrier = Carrier(Streams(stuck=True))
    carrier.since = 3.0
    assert after(carrier).since == 3.0


@pytest.mark.parametrize(
    ("carrier", "calls"),
    [
        (lambda: Carrier(Streams(), gone=True), ["close"]),
        (lambda: Carrier(Streams(Stream(), Stream(), lost=True)), ["close"]),
        (lambda: Carrier(Streams(failure=400)), [400]),
        (lambda: Carrier(Streams(over=True)), [503]),
        (lambda: Carrier(Streams(told=True), leaving=True), [503]),
        (lambda: Carrier(Streams(), leaving=True), [IN]),  # a request may be on its way
        (lambda: Carrier(Streams(told=True, pending=True), leaving=True), [IN]),  # what it has begun is still answered
        (lambda: Carrier(Streams(pending=True)), []),
    ],
    ids=["gone", "lost", "failure", "over", "leaving", "not told yet", "leaving with a request", "serves on"],
)
def test_when_the_connection_ends(carrier: Any, calls: list[Any]) -> None:
    assert after(carrier()).calls == calls


@pytest.mark.parametrize(
    ("before", "pending", "phase"), [(NEW, False, NEW), (NEW, True, READING), (IDLE, True, READING)]
)
def test_the_phase_says_what_the_client_is_waited_for(before: Phase, pending: bool, phase: Phase) -> None:
    carrier = Carrier(Streams(pending=pending))
    carrier.phase = before
    assert after(carrier).phase is phase


def test_it_waits_for_bytes_again_when_the_client_has_taken_all() -> None:
    carrier = Carrier(Streams())
    carrier.mask = OUT
    assert after(carrier).calls == [IN]
