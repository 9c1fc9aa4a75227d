"""What a client has not read yet: in order, complete, and bounded, in memory and in files."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolctl.errors import ClientGone
from poolctl.runtime import outbound as module
from poolctl.runtime.outbound import MEMORY, Outbound, Sending

NOISE = random.Random(7).randbytes(3 * MEMORY)


@dataclass
class Line:
    """A connection: ``server`` does not block, ``client`` reads what is there."""

    server: socket.socket
    client: socket.socket

    @property
    def fd(self) -> int:
        return self.server.fileno()

    def fill(self) -> int:
        """Send until the client's side takes no more; how many bytes."""
        count = 0
        while True:
            try:
                count += os.write(self.fd, b"f" * 65536)
            except BlockingIOError:
                return count

    def read(self, count: int) -> bytes:
        """That many bytes, which have been sent already."""
        data = b""
        while len(data) < count:
            data += self.client.recv(count - len(data), socket.MSG_DONTWAIT)
        return data

    def rest(self) -> bytes:
        """All that is there now."""
        data = bytearray()
        while True:
            try:
                piece = self.client.recv(65536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return bytes(data)
            if not piece:
                return bytes(data)
            data += piece


def line() -> Line:
    server, client = socket.socketpair()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
    server.setblocking(False)
    return Line(server, client)


@pytest.fixture
def wire() -> Iterator[Line]:
    made = line()
    with made.server, made.client:
        yield made


@pytest.fixture
def outbound() -> Iterator[Outbound]:
    made = Outbound()
    yield made
    made.close()


def drain(outbound: Outbound, wire: Line, step: int = 1 << 20) -> bytes:
    """Flush, and let the client read up to ``step`` bytes, until all of it is with the client."""
    got = bytearray()
    for _ in range(100_000):
        if outbound.flush(wire.fd):
            return bytes(got) + wire.rest()
        got += wire.client.recv(step)  # the buffer is full, so there is something
    raise AssertionError("it never ends")


def hand_over(outbound: Outbound) -> Outbound:
    """What another process makes of it."""
    parts, files = outbound.to_parts()
    successor = Outbound.of_parts(parts, [os.dup(file) for file in files])
    outbound.close()
    return successor


def test_nothing_to_send_is_done_at_once(outbound: Outbound, wire: Line) -> None:
    assert outbound.flush(wire.fd)
    assert wire.rest() == b""


def test_a_little_stays_in_memory(outbound: Outbound, wire: Line) -> None:
    outbound.add(b"one ")
    outbound.add(memoryview(b"-two")[1:])
    assert outbound.spool is None
    assert outbound.flush(wire.fd)
    assert wire.rest() == b"one two"


@pytest.mark.parametrize(("size", "spooled"), [(MEMORY - 1, False), (MEMORY, False), (MEMORY + 1, True)])
def test_what_memory_takes(outbound: Outbound, wire: Line, size: int, spooled: bool) -> None:
    outbound.add(NOISE[:size])
    assert (outbound.spool is not None) is spooled
    assert drain(outbound, wire) == NOISE[:size]


def test_memory_comes_before_the_file(outbound: Outbound, wire: Line) -> None:
    """Once there is a file all goes there, however small, or it would overtake."""
    parts = [NOISE[:MEMORY], NOISE[MEMORY : 2 * MEMORY], b"small", NOISE[2 * MEMORY :], b"end"]
    for part in parts:
        outbound.add(part)
    assert len(outbound.memory) == MEMORY
    assert drain(outbound, wire) == b"".join(parts)


@pytest.mark.parametrize("step", [700, 16384, 1 << 20])
def test_a_client_that_reads_slowly_gets_everything(outbound: Outbound, wire: Line, step: int) -> None:
    outbound.add(NOISE)
    assert sha256(drain(outbound, wire, step)).digest() == sha256(NOISE).digest()


def test_more_can_be_added_in_the_middle(outbound: Outbound, wire: Line) -> None:
    outbound.add(NOISE)
    assert not outbound.flush(wire.fd)
    got = wire.rest()
    assert 0 < len(got) < len(NOISE)
    outbound.add(b"more")
    assert got + drain(outbound, wire) == NOISE + b"more"


def test_it_can_be_used_again_when_it_is_empty(outbound: Outbound, wire: Line) -> None:
    for data in (NOISE, b"again", NOISE):
        outbound.add(data)
        assert drain(outbound, wire) == data


def test_a_full_connection_takes_nothing_and_loses_nothing(outbound: Outbound, wire: Line) -> None:
    filled = wire.fill()
    outbound.add(b"late")
    assert not outbound.flush(wire.fd)
    assert bytes(outbound.memory) == b"late"
    wire.read(filled)
    assert outbound.flush(wire.fd)
    assert wire.rest() == b"late"


def test_a_client_that_left(outbound: Outbound, wire: Line) -> None:
    outbound.add(b"x")
    wire.client.close()
    with pytest.raises(ClientGone, match="Broken pipe"):
        outbound.flush(wire.fd)


def test_who_is_too_far_behind_is_cut_off(outbound: Outbound, wire: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DISK", 2 * MEMORY)
    outbound.add(NOISE[: 2 * MEMORY])
    with pytest.raises(ClientGone, match=f"more than {2 * MEMORY} bytes behind"):
        outbound.add(b"x")
    assert drain(outbound, wire) == NOISE[: 2 * MEMORY]


# In a file that another process goes on with


def leave_nothing(outbound: Outbound, wire: Line) -> bytes:
    return b""


def leave_memory(outbound: Outbound, wire: Line) -> bytes:
    outbound.add(b"little")
    return b"little"


def leave_both(outbound: Outbound, wire: Line) -> bytes:
    outbound.add(b"first")
    outbound.add(NOISE)
    return b"first" + NOISE


def leave_file(outbound: Outbound, wire: Line) -> bytes:
    outbound.add(NOISE)
    return NOISE


def leave_half(outbound: Outbound, wire: Line) -> bytes:
    outbound.add(b"first" * 1000)
    outbound.add(NOISE)
    gone = b""
    while len(gone) < MEMORY + 50_000:
        assert not outbound.flush(wire.fd)
        gone += wire.rest()
    whole = b"first" * 1000 + NOISE
    assert whole.startswith(gone)
    return whole[len(gone) :]


def leave_sent(outbound: Outbound, wire: Line) -> bytes:
    outbound.add(NOISE)
    assert drain(outbound, wire) == NOISE
    return b""


LEFT = [leave_nothing, leave_memory, leave_both, leave_file, leave_half, leave_sent]


@pytest.mark.parametrize("leave", LEFT)
def test_it_goes_on_from_a_file(outbound: Outbound, wire: Line, leave: Callable[[Outbound, Line], bytes]) -> None:
    left = leave(outbound, wire)
    assert outbound.left == len(left)
    successor = hand_over(outbound)
    assert successor.left == len(left)
    assert outbound.flush(wire.fd)  # nothing is left in the first
    assert wire.rest() == b""
    successor.add(b"added")
    assert drain(successor, wire) == left + b"added"
    successor.close()


def test_its_file_is_closed_with_it(wire: Line) -> None:
    outbound = Outbound()
    outbound.add(NOISE)
    parts, files = outbound.to_parts()
    (fd,) = map(os.dup, files)
    outbound.close()
    successor = Outbound.of_parts(parts, [fd])
    successor.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


# The side that an app sees


class Answer(Sending):
    """A response on a line."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self.fd = fd


def test_what_fits_is_sent_at_once(wire: Line) -> None:
    answer = Answer(wire.fd)
    before = answer.began
    answer.send(b"hello")
    assert (before, answer.began, answer.outbound) == (False, True, None)
    assert wire.rest() == b"hello"


def test_what_does_not_fit_is_kept(wire: Line) -> None:
    answer = Answer(wire.fd)
    for part in (NOISE, b"more"):
        answer.send(part)
    assert answer.outbound is not None
    assert len(wire.client.recv(1 << 20, socket.MSG_PEEK)) > 0
    assert drain(answer.outbound, wire) == NOISE + b"more"
    answer.outbound.close()


def test_a_full_connection_keeps_all_of_it(wire: Line) -> None:
    filled = wire.fill()
    answer = Answer(wire.fd)
    answer.send(b"hello")
    assert answer.outbound is not None
    wire.read(filled)
    assert drain(answer.outbound, wire) == b"hello"


def test_sending_to_a_client_that_left(wire: Line) -> None:
    wire.client.close()
    with pytest.raises(ClientGone):
        Answer(wire.fd).send(b"x")


sizes = st.integers(0, 60_000) | st.integers(MEMORY - 2, MEMORY + 2)
steps = st.lists(st.tuples(st.sampled_from(["send", "flush", "read", "hand over"]), sizes), max_size=12)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_nothing_is_lost_and_nothing_overtakes(steps: list[tuple[str, int]]) -> None:
    wire = line()
    answer = Answer(wire.fd)
    sent, got = bytearray(), bytearray()
    with wire.server, wire.client:
        for step, size in steps:
            if step == "send":
                start = len(sent) % 1000
                data = NOISE[start : start + size]
                answer.send(data)
                sent += data
            elif step == "read":
                got += wire.rest()
            elif answer.outbound is not None and step == "flush":
                answer.outbound.flush(wire.fd)
            elif answer.outbound is not None:
                answer.outbound = hand_over(answer.outbound)
        if answer.outbound is not None:
            got += drain(answer.outbound, wire)
            answer.outbound.close()
        assert got + wire.rest() == sent
