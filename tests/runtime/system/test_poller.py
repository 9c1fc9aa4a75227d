"""Waiting for many descriptors: epoll and its fallback over selectors are to give the same events."""

from __future__ import annotations

import os
import queue
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from time import monotonic

import pytest
from harness.machine import PATIENCE

from poolctl.runtime.system.poller import (
    EDGE,
    EXCLUSIVE,
    HUP,
    IN,
    ONCE,
    OUT,
    RDHUP,
    Poller,
    SelectorsPoller,
    make_poller,
)

MAKERS: list[Callable[[], Poller]] = [SelectorsPoller]
if hasattr(select, "epoll"):
    MAKERS.insert(0, select.epoll)

Pair = tuple[socket.socket, socket.socket]
Pairs = Callable[[], Pair]


@pytest.fixture(params=MAKERS, ids=lambda make: make.__name__)
def poller(request: pytest.FixtureRequest) -> Iterator[Poller]:
    made: Poller = request.param()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[Pairs]:
    with ExitStack() as stack:

        def made() -> Pair:
            ours, theirs = socket.socketpair()
            return stack.enter_context(ours), stack.enter_context(theirs)

        yield made


def wait(poller: Poller, maxevents: int = -1) -> dict[int, int]:
    """The next events, by descriptor. A poll may end without any, when it was told of a change."""
    end = monotonic() + PATIENCE
    while monotonic() < end:
        if events := poller.poll(PATIENCE, maxevents):
            return dict(events)
    raise AssertionError(f"no event within {PATIENCE} seconds")


def silent(poller: Poller) -> bool:
    return not poller.poll(0)


def test_the_fallback_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POOLCTL_POLLER", "selectors")
    poller = make_poller()
    assert type(poller) is SelectorsPoller
    poller.close()
    monkeypatch.delenv("POOLCTL_POLLER")
    poller = make_poller()
    assert type(poller) is MAKERS[0]
    poller.close()


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="there is no epoll to compare with")
def test_the_numbers_are_those_of_epoll() -> None:
    ours = [IN, OUT, HUP, RDHUP, EDGE & 0xFFFFFFFF, ONCE, EXCLUSIVE]
    names = ["IN", "OUT", "HUP", "RDHUP", "ET", "ONESHOT", "EXCLUSIVE"]
    assert ours == [getattr(select, f"EPOLL{name}") & 0xFFFFFFFF for name in names]


# Levels


def test_what_is_ready_is_told_until_it_is_dealt_with(poller: Poller, pair: Pairs) -> None:
    ours, theirs = pair()
    poller.register(ours.fileno(), IN)
    assert silent(poller)
    theirs.send(b"x")
    assert wait(poller) == {ours.fileno(): IN}
    assert wait(poller) == {ours.fileno(): IN}
    ours.recv(1)
    assert silent(poller)


def test_only_what_was_asked_for_is_told(poller: Poller, pair: Pairs) -> None:
    reads, writes, both = pair(), pair(), pair()
    for (ours, theirs), mask in ((reads, IN), (writes, OUT), (both, IN | OUT)):
        theirs.send(b"x")
        poller.register(ours.fileno(), mask)
    assert wait(poller) == {reads[0].fileno(): IN, writes[0].fileno(): OUT, both[0].fileno(): IN | OUT}


def test_without_a_mask_both_are_asked_for(poller: Poller, pair: Pairs) -> None:
    ours, _ = pair()
    poller.register(ours.fileno())
    assert wait(poller) == {ours.fileno(): OUT}


def test_a_full_connection_is_writable_when_its_client_has_read(poller: Poller, pair: Pairs) -> None:
    ours, theirs = pair()
    ours.setblocking(False)
    sent = 0
    with suppress(BlockingIOError):
        while True:
            sent += ours.send(b"x" * 65536)
    poller.register(ours.fileno(), OUT)
    assert silent(poller)
    while sent:
        sent -= len(theirs.recv(sent))
    assert wait(poller) == {ours.fileno(): OUT}


def test_the_end_is_told(poller: Poller, pair: Pairs) -> None:
    ours, theirs = pair()
    poller.register(ours.fileno(), IN)
    theirs.close()
    assert wait(poller)[ours.fileno()] & IN
    assert ours.recv(1) == b""


def test_the_end_of_a_pipe_is_told(poller: Poller) -> None:
    """The lifelines are pipes. Which of the two bits it is differs, so nobody may ask."""
    reader, writer = os.pipe()
    poller.register(reader, IN)
    assert silent(poller)
    os.close(writer)
    assert wait(poller)[reader] & (IN | HUP)
    poller.unregister(reader)
    os.close(reader)


def test_no_more_than_asked_for_are_told_at_once(poller: Poller, pair: Pairs) -> None:
    for _ in range(5):
        poller.register(pair()[0].fileno(), OUT)
    assert len(wait(poller, 2)) == 2
    assert len(wait(poller, 256)) == 5


def test_one_at_a_time_all_have_their_turn(poller: Poller, pair: Pairs) -> None:
    fds = {pair()[0].fileno() for _ in range(4)}
    for fd in fds:
        poller.register(fd, OUT | ONCE)
    assert {fd for _ in fds for fd in wait(poller, 1)} == fds


def test_the_time_is_kept(poller: Poller) -> None:
    before = monotonic()
    assert poller.poll(0) == []
    assert poller.poll(0.02) == []
    assert 0.015 < monotonic() - before < PATIENCE


# Changes


def test_modify_asks_for_something_else(poller: Poller, pair: Pairs) -> None:
    ours, theirs = pair()
    theirs.send(b"x")
    fd = ours.fileno()
    poller.register(fd, IN)
    assert wait(poller) == {fd: IN}
    poller.modify(fd, OUT)
    assert wait(poller) == {fd: OUT}
    poller.modify(fd, 0)
    assert silent(poller)
    poller.modify(fd, IN | OUT)
    assert wait(poller) == {fd: IN | OUT}


def test_unregister_silences(poller: Poller, pair: Pairs) -> None:
    (ours, theirs), (other, _) = pair(), pair()
    theirs.send(b"x")
    poller.register(ours.fileno(), IN)
    poller.register(other.fileno(), OUT)
    assert len(wait(poller)) == 2
    poller.unregister(ours.fileno())
    assert wait(poller) == {other.fileno(): OUT}
    poller.register(ours.fileno(), IN)
    assert len(wait(poller)) == 2


def test_what_was_unregistered_wakes_nobody(poller: Poller, pair: Pairs) -> None:
    """Though it is ready: a loop that woke for it would find nothing to do, again and again."""
    ours, _ = pair()
    poller.register(ours.fileno(), OUT)
    assert wait(poller) == {ours.fileno(): OUT}
    poller.unregister(ours.fileno())
    assert silent(poller)  # by now the change is known
    before = monotonic()
    assert poller.poll(0.02) == []
    assert monotonic() - before > 0.015


def test_what_is_not_known_or_known_already_is_an_error(poller: Poller, pair: Pairs) -> None:
    fd = pair()[0].fileno()
    with pytest.raises(FileNotFoundError):
        poller.modify(fd, IN)
    with pytest.raises(FileNotFoundError):
        poller.unregister(fd)
    poller.register(fd, OUT | ONCE)
    with pytest.raises(FileExistsError):
        poller.register(fd, IN)
    assert wait(poller) == {fd: OUT}
    with pytest.raises(FileExistsError):  # silenced, and still known
        poller.register(fd, IN)


def test_a_number_that_is_used_again_is_another_descriptor(poller: Poller, pair: Pairs) -> None:
    ours, theirs = pair()
    theirs.send(b"x")
    fd = ours.fileno()
    poller.register(fd, IN)
    assert wait(poller) == {fd: IN}
    poller.unregister(fd)
    other, its = pair()
    os.dup2(other.fileno(), fd)  # closes the old one
    poller.register(fd, IN)
    assert silent(poller)
    its.send(b"y")
    assert wait(poller) == {fd: IN}
    assert ours.recv(1) == b"y"


# One event, and edges


def test_one_event_and_silence_until_modify(poller: Poller, pair: Pairs) -> None:
    ours, theirs = pair()
    fd = ours.fileno()
    poller.register(fd, IN | ONCE)
    theirs.send(b"x")
    assert wait(poller) == {fd: IN}
    theirs.send(b"y")
    assert silent(poller)
    poller.modify(fd, IN | ONCE)  # what is there counts, not only what comes
    assert wait(poller) == {fd: IN}
    assert ours.recv(2) == b"xy"
    poller.modify(fd, IN | ONCE)
    assert silent(poller)
    theirs.send(b"z")
    assert wait(poller) == {fd: IN}


def test_armed_again_for_something_else(poller: Poller, pair: Pairs) -> None:
    ours, theirs = pair()
    fd = ours.fileno()
    theirs.send(b"x")
    poller.register(fd, IN | ONCE)
    assert wait(poller) == {fd: IN}
    poller.modify(fd, OUT | ONCE)
    assert wait(poller) == {fd: OUT}
    assert silent(poller)


def test_an_edge_is_told_once_and_modify_asks_again(poller: Poller, pair: Pairs) -> None:
    ours, theirs = pair()
    fd = ours.fileno()
    poller.register(fd, IN | EDGE)
    assert silent(poller)
    theirs.send(b"xy")
    assert wait(poller) == {fd: IN}
    assert silent(poller)
    assert ours.recv(1) == b"x"
    assert silent(poller)
    poller.modify(fd, IN | EDGE)  # a byte is left
    assert wait(poller) == {fd: IN}
    assert ours.recv(1) == b"y"
    poller.modify(fd, IN | EDGE)
    assert silent(poller)
    theirs.send(b"z")
    assert wait(poller) == {fd: IN}


@pytest.mark.parametrize("make", MAKERS)
def test_a_listener_of_several_pollers_wakes_one_for_each_client(make: Callable[[], Poller]) -> None:
    """At least one: the fallback wakes more than need to."""
    pollers = [make(), make()]
    woken: queue.Queue[int] = queue.Queue()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        for poller in pollers:
            poller.register(fd, IN | EXCLUSIVE)
        assert all(silent(poller) for poller in pollers)
        pollers[0].unregister(fd)  # to the end of the kernel's queue of those who wait, as the loops do it
        pollers[0].register(fd, IN | EXCLUSIVE)
        threads = [
            threading.Thread(target=lambda each=each: woken.put(wait(each)[fd]), daemon=True) for each in pollers
        ]
        for thread in threads:
            thread.start()
        with socket.create_connection(listener.getsockname()):
            assert woken.get(timeout=PATIENCE) == IN
            with socket.create_connection(listener.getsockname()):  # the first was not taken
                assert woken.get(timeout=PATIENCE) == IN
        for thread in threads:
            thread.join(PATIENCE)
    for poller in pollers:
        poller.close()


# Several threads


def test_a_change_by_another_thread_counts_at_once(poller: Poller, pair: Pairs) -> None:
    (idle, _), (ours, theirs) = pair(), pair()
    poller.register(idle.fileno(), IN)
    theirs.send(b"x")
    found: queue.Queue[dict[int, int]] = queue.Queue()

    def work() -> None:
        while not (events := dict(poller.poll())):  # without a limit: only the change can end it
            pass
        found.put(events)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    poller.register(ours.fileno(), ONCE)  # asks for nothing yet
    poller.modify(ours.fileno(), IN | ONCE)
    assert found.get(timeout=PATIENCE) == {ours.fileno(): IN}
    thread.join(PATIENCE)


def test_of_several_threads_one_gets_the_event(poller: Poller, pair: Pairs) -> None:
    """One shared set and one event at a time: leader/followers."""
    found: queue.Queue[int] = queue.Queue()
    reader, writer = os.pipe()
    poller.register(reader, IN)

    def work() -> None:
        while True:
            for fd, _ in poller.poll(None, 1):
                if fd == reader:
                    return
                found.put(fd)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    pairs = [pair() for _ in range(8)]
    for ours, theirs in pairs:
        poller.register(ours.fileno(), IN | ONCE)
        theirs.send(b"x")
    fds = sorted(ours.fileno() for ours, _ in pairs)
    for _ in range(20):
        assert sorted(found.get(timeout=PATIENCE) for _ in fds) == fds
        assert found.empty()
        for fd in fds:
            poller.modify(fd, IN | ONCE)
    assert sorted(found.get(timeout=PATIENCE) for _ in fds) == fds
    os.write(writer, b"x")
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    assert found.empty()
    os.close(writer)
    os.close(reader)
