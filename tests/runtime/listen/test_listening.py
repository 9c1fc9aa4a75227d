"""A listener in a loop: what accept answers, who is asked first, and how it ends."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.loop_rig import LoopRig

from poolctl.runtime.listen import listening
from poolctl.runtime.listen.listening import (
    BURST_CONNECTIONS,
    COMPLAINT_SECONDS,
    DEFER_SECONDS,
    RUSH_SECONDS,
    Listening,
    listen,
)
from poolctl.runtime.system.poller import EXCLUSIVE, HUP, IN, ONCE
from poolctl.runtime.task import Peer

PEER = Peer("127.0.0.1", "4711", "127.0.0.1", "80")
ABORTED, NONE = ConnectionAbortedError(), BlockingIOError()
FULL, SHUT = OSError(errno.EMFILE, "Too many open files"), OSError(errno.EINVAL, "Invalid argument")


class FakeListener:
    """Gives out descriptors, or raises what waits instead."""

    kept_outside = False
    shut = False
    waits = False
    door = "the door"

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.waiting: list[int | OSError] = []
        self.calls: list[str] = []

    def accept(self) -> tuple[int, Peer]:
        found = self.waiting.pop(0) if self.waiting else BlockingIOError()
        if isinstance(found, OSError):
            raise found
        return found, PEER

    def deafen(self) -> None:
        self.calls.append("deafen")

    def end(self) -> bool:
        self.calls.append("end")
        return self.waits


class Rig(LoopRig):
    """A loop that listens; what is accepted is in ``taken``."""

    def __init__(self, *, shared: bool = False, **options: Any) -> None:
        super().__init__(shared=shared)
        self.fake = FakeListener(self.handler(add=False).fd)
        self.taken: list[int] = []
        self.does: Callable[[int], None] = lambda fd: None
        listener: Any = self.fake
        listen(self.loop, listener, self._on_connection, **options)
        found = self.loop.listening[self.fake.fd]
        assert isinstance(found, Listening)
        self.listening = found

    def _on_connection(self, fd: int, peer: Peer, service: Any, door: Any) -> None:
        assert (peer, service, door) == (PEER, self.service, "the door")
        self.taken.append(fd)
        self.does(fd)

    def event(self) -> None:
        self.turns([(self.fake.fd, IN)])


MakeRig = Callable[..., Rig]


@pytest.fixture
def rig() -> Iterator[MakeRig]:
    made: list[Rig] = []

    def make(**options: Any) -> Rig:
        made.append(Rig(**options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_an_event_takes_one_connection(rig: MakeRig) -> None:
    made = rig()
    made.fake.waiting = [901, 902]
    made.event()
    assert made.taken == [901]


@pytest.mark.parametrize("nothing", [NONE, ABORTED], ids=["another process was faster", "left again"])
def test_an_event_may_be_for_nothing(rig: MakeRig, nothing: OSError) -> None:
    made = rig()
    made.fake.waiting = [nothing]
    made.event()
    assert made.taken == []
    assert made.poller.waits_for(made.fake.fd) == IN


def test_out_of_descriptors_it_pauses_and_says_so_now_and_then(rig: MakeRig, caplog: pytest.LogCaptureFixture) -> None:
    made = rig()
    made.turns([])  # in the turn of a sweep it would go on at once
    made.fake.waiting = [FULL, FULL, FULL, 901]
    made.event()
    assert made.fake.fd not in made.poller.masks
    made.turns([])
    made.event()
    assert len(caplog.records) == 1
    assert "ulimit -n" in caplog.text
    made.clock.now += COMPLAINT_SECONDS
    made.turns([])
    made.event()
    assert len(caplog.records) == 2
    made.turns([])
    made.event()
    assert made.taken == [901]


def test_a_listener_that_was_shut_leaves_the_loop(rig: MakeRig) -> None:
    made = rig()
    made.fake.waiting = [SHUT]
    made.event()
    assert made.fake.fd not in made.loop.handlers
    assert made.loop.listening == {}


def test_what_raises_ends_the_newcomer_alone(rig: MakeRig, caplog: pytest.LogCaptureFixture) -> None:
    made = rig()
    reader, writer = os.pipe()

    def fail(fd: int) -> None:
        raise SystemExit

    made.does = fail
    made.fake.waiting = [reader, 902]
    made.event()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reader)
    made.does = lambda fd: None
    made.event()
    assert made.taken == [reader, 902]
    assert "SystemExit" in caplog.text
    os.close(writer)


# others


def test_only_the_holder_of_the_lock_accepts(rig: MakeRig) -> None:
    lock = threading.Lock()
    made = rig(lock=lock)
    made.fake.waiting = [901, FULL, 902]
    with lock:
        made.event()
        assert made.taken == []
    made.event()
    assert made.taken == [901]
    made.event()
    assert not lock.locked()  # after an error too


def test_in_a_shared_loop_the_next_thread_leads_before_the_connection_is_served(rig: MakeRig) -> None:
    made = rig(shared=True)
    leads: list[int] = []
    made.does = lambda fd: leads.append(made.poller.waits_for(made.fake.fd))
    made.fake.waiting = [901]
    made.event()
    assert leads == [IN]
    assert made.poller.masks[made.fake.fd] & ONCE


def test_a_contended_listener_steps_back_when_it_took_one(rig: MakeRig) -> None:
    made = rig(contended=True)
    other = made.handler()
    assert made.poller.masks[made.fake.fd] == IN | EXCLUSIVE
    made.fake.waiting = [NONE, 901]
    made.event()
    assert list(made.poller.masks)[-1] == other.fd
    made.event()
    assert list(made.poller.masks)[-1] == made.fake.fd


@pytest.mark.parametrize("defers", [True, False])
def test_other_processes_may_try_first(rig: MakeRig, defers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(listening, "sleep", slept.append)
    made = rig(defers=lambda: defers)
    made.fake.waiting = [901]
    made.event()
    assert slept == [DEFER_SECONDS] * defers
    assert made.taken == [901]


def test_in_a_rush_it_takes_many_at_once(rig: MakeRig) -> None:
    made = rig(rushes=True)
    made.fake.waiting = [*range(900, 940)]
    made.event()
    assert len(made.taken) == 1  # the first event of all
    made.clock.now += RUSH_SECONDS / 2
    made.event()
    assert len(made.taken) == 1 + BURST_CONNECTIONS
    made.clock.now += RUSH_SECONDS * 2
    made.event()
    assert len(made.taken) == 1 + BURST_CONNECTIONS + 1
    made.fake.waiting = [950]
    made.event()
    assert made.taken[-1] == 950
    assert not made.fake.waiting


def test_those_of_a_rush_are_served_once_all_are_accepted(rig: MakeRig) -> None:
    """And each is known until then: a process that the app forks meanwhile must not keep it."""
    made = rig(rushes=True)
    found: list[tuple[int, set[int]]] = []
    made.does = lambda fd: found.append((len(made.fake.waiting), made.loop.descriptors()))
    made.event()
    made.fake.waiting = [901, 902, 903]
    made.event()
    assert [waiting for waiting, _ in found] == [0, 0, 0]
    assert [{902, 903} & known for _, known in found] == [{902, 903}, {903}, set()]


def test_what_ends_a_rush_loses_no_client(rig: MakeRig) -> None:
    made = rig(rushes=True)
    made.event()
    made.fake.waiting = [901, 902, FULL]
    made.event()
    assert made.taken == [901, 902]


def test_a_rush_ends_though_another_holds_the_lock_all_the_time(rig: MakeRig) -> None:
    lock = threading.Lock()
    made = rig(rushes=True, lock=lock)
    made.fake.waiting = [901, 902]
    with lock:
        made.event()
        made.event()
    assert made.taken == []
    made.event()
    assert made.taken == [901, 902]


def test_threads_that_share_a_loop_take_one_client_each(rig: MakeRig) -> None:
    made = rig(rushes=True, shared=True)
    made.fake.waiting = [*range(900, 940)]
    for count in (1, 2, 3):
        made.event()
        assert len(made.taken) == count


# the end


@pytest.mark.parametrize("shut", [False, True], ids=["by its loop", "for all"])
def test_in_a_drain_a_listener_ends_when_no_client_waits(rig: MakeRig, shut: bool) -> None:
    made = rig()
    made.fake.waiting = [901, NONE]
    made.fake.shut = shut
    made.run(made.ends(), [], [])
    assert made.taken == [901]
    assert made.fake.calls == ["end"]
    assert made.loop.listening == {}


def test_an_event_in_a_drain_may_be_that_of_the_end(rig: MakeRig) -> None:
    made = rig()
    made.fake.shut = True
    made.run(made.ends(), [(made.fake.fd, HUP)])
    assert made.fake.calls == ["end"]


def test_a_listener_at_which_a_client_waits_is_asked_again(rig: MakeRig) -> None:
    made = rig()
    made.fake.waits = True
    made.turns(made.ends(), [], [])
    assert made.fake.calls == ["end", "end"]
    assert made.fake.fd in made.loop.listening


def test_deafening_is_the_listeners(rig: MakeRig) -> None:
    made = rig()
    made.listening.deafen()
    assert made.fake.calls == ["deafen"]


def test_nothing_is_logged_of_a_quiet_listener(rig: MakeRig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    made = rig()
    made.fake.waiting = [NONE, ABORTED, SHUT]
    for _ in range(3):
        made.event()
    assert caplog.records == []
