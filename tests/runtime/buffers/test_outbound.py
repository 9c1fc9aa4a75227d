"""What a client has not read yet: in order, complete, and bounded, in memory and in files."""

from __future__ import annotations

import os
import random
import resource
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import BinaryIO

import pytest
from harness.forms import drawn
from hypothesis import given
from hypothesis import strategies as st

from poolctl.errors import ClientGone
from poolctl.runtime.buffers import outbound as module
from poolctl.runtime.buffers.file_range import COPY_BYTES, pass_range
from poolctl.runtime.buffers.outbound import FILES, MEMORY_BYTES, RANGES, Outbound, Sending
from poolctl.runtime.buffers.temporary import temporary_file

NOISE = random.Random(7).randbytes(3 * MEMORY_BYTES)


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


def noise() -> BinaryIO:
    """A regular file of NOISE."""
    file = temporary_file()
    file.write(NOISE)
    file.flush()
    return file


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


@pytest.mark.parametrize(
    ("size", "spooled"), [(MEMORY_BYTES - 1, False), (MEMORY_BYTES, False), (MEMORY_BYTES + 1, True)]
)
def test_what_memory_takes(outbound: Outbound, wire: Line, size: int, spooled: bool) -> None:
    outbound.add(NOISE[:size])
    assert (outbound.spool is not None) is spooled
    assert drain(outbound, wire) == NOISE[:size]


def test_memory_comes_before_the_file(outbound: Outbound, wire: Line) -> None:
    """Once there is a file all goes there, however small, or it would overtake."""
    parts = [NOISE[:MEMORY_BYTES], NOISE[MEMORY_BYTES : 2 * MEMORY_BYTES], b"small", NOISE[2 * MEMORY_BYTES :], b"end"]
    for part in parts:
        outbound.add(part)
    assert len(outbound.memory) == MEMORY_BYTES
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
    monkeypatch.setattr(module, "DISK_BYTES", 2 * MEMORY_BYTES)
    outbound.add(NOISE[: 2 * MEMORY_BYTES])
    with pytest.raises(ClientGone, match=f"more than {2 * MEMORY_BYTES} bytes behind"):
        outbound.add(b"x")
    assert drain(outbound, wire) == NOISE[: 2 * MEMORY_BYTES]


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
    while len(gone) < MEMORY_BYTES + 50_000:
        assert not outbound.flush(wire.fd)
        gone += wire.rest()
    whole = b"first" * 1000 + NOISE
    assert whole.startswith(gone)
    return whole[len(gone) :]


def leave_sent(outbound: Outbound, wire: Line) -> bytes:
    outbound.add(NOISE)
    assert drain(outbound, wire) == NOISE
    return b""


def leave_ranges(outbound: Outbound, wire: Line) -> bytes:
    """Memory, the spool and two files, in turn."""
    whole = b"first" + NOISE[10:MEMORY_BYTES] + b"between" + NOISE[:5] + NOISE[1000:400_000] + b"end"
    outbound.add(b"first")
    with noise() as one, noise() as other:
        outbound.add_file(one.fileno(), 10, MEMORY_BYTES - 10)
        outbound.add(b"between")
        outbound.add_file(other.fileno(), 0, 5)
        outbound.add_file(other.fileno(), 1000, 399_000)
    outbound.add(b"end")
    return whole


LEFT = [leave_nothing, leave_memory, leave_both, leave_file, leave_half, leave_sent, leave_ranges]


def test_without_a_descriptor_for_the_rest_the_client_is_cut_off(outbound: Outbound) -> None:
    """The log blames the server's lack of descriptors, and not the app."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = os.open(os.devnull, os.O_RDONLY)  # no number below it is free
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken + 1, hard))
    try:
        with pytest.raises(ClientGone):
            outbound.add(b"x" * (MEMORY_BYTES + 1))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(taken)
    outbound.add(b"x" * (MEMORY_BYTES + 1))


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


# Ranges of files


@pytest.fixture
def noise_file() -> Iterator[BinaryIO]:
    with noise() as made:
        yield made


def test_a_range_costs_a_descriptor_and_no_copy(outbound: Outbound, wire: Line, noise_file: BinaryIO) -> None:
    for start in range(0, 100_000, 1000):
        outbound.add_file(noise_file.fileno(), start, 1000)
    parts, files = outbound.to_parts()
    assert (outbound.spool, len(outbound.memory), len(parts), len(files)) == (None, 0, 100, 1)
    assert files[0] != noise_file.fileno()
    assert drain(outbound, wire) == NOISE[:100_000]


def test_nothing_leaves_nothing_between_ranges(outbound: Outbound, wire: Line, noise_file: BinaryIO) -> None:
    for start in (0, 10):
        outbound.add_file(noise_file.fileno(), start, 10)
        outbound.add(b"")
        outbound.add_file(noise_file.fileno(), start, 0)
    assert drain(outbound, wire) == NOISE[:20]


def test_ranges_past_their_number_are_copied(outbound: Outbound, wire: Line, noise_file: BinaryIO) -> None:
    count = RANGES + 50
    for number in range(count):
        outbound.add_file(noise_file.fileno(), number * 100, 100)
    assert len(outbound.ranges) == RANGES + 1
    assert outbound.left == count * 100
    assert drain(outbound, wire) == NOISE[: count * 100]


def test_files_past_their_number_are_copied(outbound: Outbound, wire: Line) -> None:
    for number in range(FILES + 3):
        with noise() as one:
            outbound.add_file(one.fileno(), number, 1)
    _, files = outbound.to_parts()
    assert len(files) == FILES + 1
    assert drain(outbound, wire) == NOISE[: FILES + 3]


def test_bytes_and_ranges_are_taken_in_order(outbound: Outbound, wire: Line) -> None:
    whole = leave_ranges(outbound, wire)
    got = b""
    while not outbound.empty:
        got += outbound.take(50_000)
        assert outbound.left == len(whole) - len(got)
    assert got == whole


def test_a_turn_is_bounded(
    outbound: Outbound, wire: Line, monkeypatch: pytest.MonkeyPatch, noise_file: BinaryIO
) -> None:
    monkeypatch.setattr(module, "TURN_BYTES", 1000)
    outbound.add_file(noise_file.fileno(), 0, 3000)
    assert [outbound.flush(wire.fd), outbound.flush(wire.fd), outbound.flush(wire.fd)] == [False, False, True]
    assert wire.rest() == NOISE[:3000]


def test_a_file_that_became_shorter_cuts_its_client_off(outbound: Outbound, wire: Line, noise_file: BinaryIO) -> None:
    outbound.add_file(noise_file.fileno(), 0, 2000)
    os.truncate(noise_file.fileno(), 1000)
    with pytest.raises(ClientGone, match="truncated"):
        drain(outbound, wire)
    with pytest.raises(ClientGone, match="truncated"):
        Answer(wire.fd).send_file(noise_file.fileno(), 1000, 1)


def test_a_file_that_sendfile_does_not_take_is_read(wire: Line) -> None:
    """The kernel refuses this one, whose position is at its end for every write."""
    target, path = tempfile.mkstemp()
    os.unlink(path)
    with noise() as source:
        appending = os.open(f"/proc/self/fd/{target}", os.O_WRONLY | os.O_APPEND)
        sent = pass_range(appending, source.fileno(), 5, 2 * COPY_BYTES)
        assert sent == COPY_BYTES
        assert os.pread(target, COPY_BYTES + 1, 0) == NOISE[5 : 5 + COPY_BYTES]
    os.close(appending)
    os.close(target)


def test_a_small_file_is_sent_at_once(wire: Line, noise_file: BinaryIO) -> None:
    answer = Answer(wire.fd)
    answer.send(b"head ")
    answer.send_file(noise_file.fileno(), 3, 10)
    assert answer.outbound is None
    assert wire.rest() == b"head " + NOISE[3:13]


def test_a_descriptor_that_is_no_file_is_the_fault_of_the_app(wire: Line) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        Answer(wire.fd).send_file(999_999, 0, 1)


def test_a_file_for_a_client_that_left(wire: Line, noise_file: BinaryIO) -> None:
    wire.client.close()
    with pytest.raises(ClientGone):
        Answer(wire.fd).send_file(noise_file.fileno(), 0, 1)


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


sizes = st.integers(0, 60_000) | st.integers(MEMORY_BYTES - 2, MEMORY_BYTES + 2)
steps = st.lists(st.tuples(st.sampled_from(["send", "send file", "flush", "read", "hand over"]), sizes), max_size=12)


@drawn(60)
@given(steps)
def test_nothing_is_lost_and_nothing_overtakes(steps: list[tuple[str, int]]) -> None:
    wire = line()
    answer = Answer(wire.fd)
    sent, got = bytearray(), bytearray()
    with wire.server, wire.client, noise() as file:
        for step, size in steps:
            if step.startswith("send"):
                start = len(sent) % 1000
                data = NOISE[start : start + size]
                if step == "send":
                    answer.send(data)
                else:
                    answer.send_file(file.fileno(), start, size)
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
