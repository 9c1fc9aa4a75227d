"""The turns of a loop, its boundary and its end, with a fake poller and a fake clock."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from math import inf
from typing import Any, NoReturn

import pytest
from harness.fake_poller import Events
from harness.loop_rig import FakeService, LoopRig, names
from harness.machine import PATIENCE
from harness.server import wait_until

from poolctl.runtime.loop.draining import cancels_after
from poolctl.runtime.loop.loop import CROWD_SECONDS, EVENTS, MAX_FAILED_TURNS, SWEEP_SECONDS, Loop
from poolctl.runtime.loop.source import Delivery, Source
from poolctl.runtime.scoreboard import FAILED
from poolctl.runtime.system import forked
from poolctl.runtime.system.poller import EDGE, HUP, IN, ONCE, RDHUP

MakeRig = Callable[..., LoopRig]
RAISED = [ValueError("on purpose"), SystemExit(), KeyboardInterrupt(), BaseExceptionGroup("g", [ValueError()])]


@pytest.fixture
def unlogged(caplog: pytest.LogCaptureFixture) -> None:
    """A hundred tracebacks take a second."""
    caplog.set_level(logging.CRITICAL, "poolctl")


def raiser(error: BaseException) -> Callable[[], NoReturn]:
    def do() -> NoReturn:
        raise error

    return do


# turns


def test_events_go_to_their_handlers_with_the_time_of_the_wait(rig: MakeRig) -> None:
    made = rig()
    one, other = made.handler(), made.handler()
    times: list[tuple[float, float]] = []
    one.does["event"] = lambda: times.append((made.loop.before, made.loop.now))
    began = made.clock.now

    def later() -> Events:
        made.clock.now += 7
        return [(one.fd, IN), (other.fd, HUP)]

    made.loop._next_look = inf
    made.turns(later)
    assert (one.calls, other.calls) == ([("event", IN)], [("event", HUP)])
    assert times == [(began, began + 7)]


def test_an_event_of_a_handler_that_has_left_in_the_same_turn_is_dropped(rig: MakeRig) -> None:
    made = rig()
    one, other = made.handler(), made.handler()
    one.does["event"] = other.leave
    made.turns([(one.fd, IN), (other.fd, IN)])
    assert "event" not in names(other.calls)


def test_before_events_is_called_after_the_wait_and_before_any_handler(rig: MakeRig) -> None:
    made = rig()
    one = made.handler()
    order: list[str] = []
    made.loop.before_events = lambda: order.append("before")  # type: ignore[method-assign]
    one.does["event"] = lambda: order.append("event")
    made.turns([(one.fd, IN)])
    assert order == ["before", "event"]


def test_a_loop_of_sources_alone_waits_as_long_as_it_takes(rig: MakeRig) -> None:
    made = rig()
    made.listener()
    made.turns([])
    one = made.handler()
    made.turns([])
    one.leave()
    made.turns([])
    assert made.poller.patience == [None, None, SWEEP_SECONDS, SWEEP_SECONDS, None, None]


def test_a_sweep_comes_every_half_second_and_no_sooner(rig: MakeRig) -> None:
    made = rig()
    one = made.handler()
    began = made.clock.now
    event = [(one.fd, IN)]
    # the clock moves on by half a second in a wait without an event, after which the time of the turn is taken
    made.turns(event, event, [], event)
    assert one.calls == [
        ("event", IN),
        ("expire", began),
        ("event", IN),
        ("expire", began + SWEEP_SECONDS),
        ("event", IN),
    ]


def test_a_handler_that_raises_when_swept_ends_alone(rig: MakeRig) -> None:
    made = rig()
    one, other = made.handler(), made.handler()
    one.does["expire"] = raiser(ValueError("on purpose"))
    made.turns([])
    assert names(one.calls) == ["expire", "abort"]
    assert names(other.calls) == ["expire"]
    assert one.fd not in made.loop.handlers


@pytest.mark.parametrize("delivery", Delivery)
def test_in_a_loop_of_one_thread_nothing_is_rearmed(rig: MakeRig, delivery: Delivery) -> None:
    made = rig()
    one = made.handler(delivery)
    assert made.poller.masks[one.fd] == IN
    made.turns([(one.fd, IN)] * 5 + [(one.fd, IN)] * (EVENTS - 5))
    assert len([call for call in one.calls if call[0] == "event"]) == EVENTS


@pytest.mark.parametrize(
    ("delivery", "mask", "explicit", "rearmed"),
    [
        (Delivery.ONE_SHOT, IN | ONCE, False, True),
        (Delivery.OWN, IN | ONCE, False, False),
        (Delivery.EDGE, IN | EDGE | RDHUP, False, True),  # no event silences it
        (Delivery.ONE_SHOT, IN | ONCE, True, True),
        (Delivery.EDGE, IN | EDGE | RDHUP, True, True),
    ],
)
def test_in_a_shared_loop_the_delivery_says_what_rearms_a_handler(
    rig: MakeRig, delivery: Delivery, mask: int, explicit: bool, rearmed: bool
) -> None:
    made = rig(shared=True)
    made.loop._explicit = explicit
    one = made.handler(delivery)
    assert made.poller.masks[one.fd] == mask
    made.turns([(one.fd, IN)])
    assert bool(made.poller.waits_for(one.fd)) == rearmed
    assert bool(made.poller.masks[one.fd] & ONCE) == (delivery is not Delivery.EDGE or explicit)


def test_a_shared_loop_takes_one_event_at_a_time(rig: MakeRig) -> None:
    made = rig(shared=True)
    one, other = made.handler(), made.handler()
    with pytest.raises(AssertionError):
        made.turns([(one.fd, IN), (other.fd, IN)])


def test_a_handler_that_leaves_in_its_event_is_not_rearmed(rig: MakeRig) -> None:
    made = rig(shared=True)
    one = made.handler()
    one.does["event"] = one.leave
    made.turns([(one.fd, IN)])
    assert one.fd not in made.poller.masks


# the boundary


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_what_a_handler_raises_is_logged_and_counted_and_ends_it_alone(
    rig: MakeRig, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    made = rig()
    one, other = made.handler(), made.handler()
    one.does["event"] = raiser(error)
    made.turns([(one.fd, IN), (other.fd, IN)])
    assert names(one.calls)[:2] == ["event", "abort"]
    assert names(other.calls)[0] == "event"
    assert made.service.row[FAILED] == 1
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_a_front_has_no_service_and_counts_nothing(rig: MakeRig) -> None:
    made = rig()
    one = made.handler()
    one.does["event"] = raiser(ValueError("on purpose"))
    made.turns([(one.fd, IN)], service=None)
    assert names(one.calls) == ["event", "abort"]


def test_a_handler_that_cannot_even_be_aborted_is_closed_by_the_loop(
    rig: MakeRig, caplog: pytest.LogCaptureFixture
) -> None:
    made = rig()
    one = made.handler()
    one.does = {"event": raiser(ValueError("first")), "abort": raiser(ValueError("second"))}
    made.turns([(one.fd, IN)])
    assert one.fd not in made.loop.handlers
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(one.fd)
    assert ["first" in record.getMessage() for record in caplog.records] == [True, False]
    one.sock.detach()


def test_an_event_that_is_delivered_has_the_same_boundary(rig: MakeRig) -> None:
    made = rig()
    one, other = made.handler(), made.handler()
    one.does["event"] = raiser(ValueError("on purpose"))
    made.loop.deliver(one, IN, made.service)
    made.loop.deliver(other, IN, made.service)
    assert (names(one.calls), names(other.calls)) == (["event", "abort"], ["event"])


def test_a_newcomer_that_has_a_handler_is_ended_by_it(rig: MakeRig) -> None:
    made = rig()
    one = made.handler()
    made.loop.fail_newcomer(one.fd, made.service, ValueError("on purpose"))
    assert one.calls == ["abort"]
    assert made.service.row[FAILED] == 1


def test_a_newcomer_without_one_is_dropped(rig: MakeRig, caplog: pytest.LogCaptureFixture) -> None:
    made = rig()
    ours, theirs = socket.socketpair()
    with theirs:
        made.loop.fail_newcomer(ours.detach(), made.service, ValueError("on purpose"))
        assert theirs.recv(10) == b""
    assert "on purpose" in caplog.text
    assert made.service.row[FAILED] == 1


def test_a_client_that_is_dropped_with_words_gets_them(rig: MakeRig) -> None:
    made = rig()
    ours, theirs = socket.socketpair()
    made.socks += ours, theirs
    made.loop.drop(os.dup(ours.fileno()), made.service, b"busy")
    assert (theirs.recv(10), theirs.recv(10)) == (b"busy", b"")
    (lingering,) = made.loop.handlers.keys() - made.loop.sources
    made.loop.handlers[lingering].expire(inf, made.service)
    assert made.loop.handlers.keys() == made.loop.sources


# turns that fail


def test_a_turn_that_fails_is_logged_and_the_loop_goes_on(rig: MakeRig, caplog: pytest.LogCaptureFixture) -> None:
    made = rig()
    made.run(raiser(KeyboardInterrupt()), raiser(ValueError()), made.ends())
    assert len(caplog.records) == 2
    assert made.loop.finished


def fail() -> NoReturn:
    raise ValueError("on purpose")


@pytest.mark.usefixtures("unlogged")
def test_a_loop_that_does_nothing_but_fail_raises(rig: MakeRig) -> None:
    made = rig()
    with pytest.raises(ValueError, match="on purpose"):
        made.run(*[fail] * (MAX_FAILED_TURNS + 1))


@pytest.mark.usefixtures("unlogged")
def test_a_turn_that_succeeds_forgives_those_before(rig: MakeRig) -> None:
    made = rig()
    made.run(*[fail] * MAX_FAILED_TURNS, [], *[fail] * MAX_FAILED_TURNS, made.ends())
    assert made.loop.finished


def test_after_a_turn_that_failed_a_shared_loop_asks_for_events_again(rig: MakeRig) -> None:
    """The one event of a handler may have been lost with it; what waits for nothing is left alone."""
    made = rig(shared=True)
    one, edge, mute = made.handler(), made.handler(Delivery.EDGE), made.handler()
    made.loop.mute(mute)
    made.poller.report(one.fd, IN)
    made.loop.stumble(ValueError("on purpose"))
    assert made.poller.waits_for(one.fd) == IN
    assert made.poller.masks[one.fd] == IN | ONCE
    assert made.poller.masks[edge.fd] == IN | EDGE | RDHUP
    assert mute.fd not in made.poller.masks


# the end


def test_an_idle_loop_ends_with_its_lifeline(rig: MakeRig) -> None:
    made = rig()
    made.run([], made.ends())
    assert made.loop.finished
    assert not made.loop.handlers


def test_a_drain_waits_for_its_handlers(rig: MakeRig) -> None:
    made = rig()
    one = made.handler()

    def leave() -> Events:
        one.leave()
        return []

    made.run(made.ends(), [], [(one.fd, IN)], leave)
    assert names(one.calls)[0] == "drain"


def test_a_handler_that_raises_in_the_drain_ends_alone(rig: MakeRig) -> None:
    made = rig()
    one, other = made.handler(), made.handler()
    one.does["drain"] = raiser(ValueError("on purpose"))
    other.does["drain"] = other.leave
    made.run(made.ends())
    assert one.calls == ["drain", "abort"]


def test_a_second_drain_is_none(rig: MakeRig) -> None:
    made = rig()
    one = made.handler()
    made.loop.drain(made.service)
    made.loop.drain(made.service)
    assert one.calls == ["drain"]


def test_near_the_end_of_its_time_every_deadline_is_over(rig: MakeRig) -> None:
    made = rig(drain=10.0)
    one = made.handler()
    made.turns(made.ends())
    began = made.clock.now
    last = began + cancels_after(10.0)
    while made.clock.now <= last:
        made.turns([])
    made.turns([])
    given = [call[1] for call in one.calls if call[0] == "expire"]
    assert given[-1] == inf
    assert all(now < last or now == inf for now in given)


def test_a_loop_without_a_time_to_drain_never_hurries(rig: MakeRig) -> None:
    made = rig(drain=inf)
    one = made.handler()
    made.turns(made.ends(), [])
    made.clock.now += 1e9
    made.turns([])
    assert inf not in [call[1] for call in one.calls if call[0] == "expire"]


def test_a_short_drain_is_swept_more_often(rig: MakeRig) -> None:
    made = rig(drain=1.0)
    made.handler()
    made.turns(made.ends(), [])
    assert made.poller.patience[-1] == 0.05


def test_a_listener_is_asked_until_no_client_waits(rig: MakeRig) -> None:
    made = rig()
    listener = made.listener()
    listener.waiting = 2
    made.run(made.ends(), [], [], [])
    assert listener.calls == ["look"] * 3
    assert made.poller.patience == [None, 0, 0, 0]


def test_a_listener_is_asked_only_when_there_was_no_event(rig: MakeRig) -> None:
    """Clients that are served come first: new ones wait in the kernel."""
    made = rig()
    listener, one = made.listener(), made.handler()
    made.turns(made.ends(), [(one.fd, IN)])
    assert listener.calls == []
    made.turns([])
    assert listener.calls == ["look"]


def test_after_half_a_second_of_a_drain_no_client_may_join(rig: MakeRig) -> None:
    made = rig()
    listener = made.listener()
    listener.waiting = 3

    def later() -> Events:
        made.clock.now += CROWD_SECONDS + 0.1
        return []

    made.run(made.ends(), [], later, [], [])
    assert listener.calls == ["look", "deafen", "look", "look", "look"]


def test_a_listener_that_another_program_keeps_is_left_to_it(rig: MakeRig) -> None:
    made = rig()
    listener = made.listener(kept_outside=True)
    listener.waiting = 1
    made.run(made.ends())
    assert listener.calls == []
    assert listener.fd not in made.poller.masks


def test_a_listener_that_was_paused_is_asked_too(rig: MakeRig, caplog: pytest.LogCaptureFixture) -> None:
    made = rig()
    listener = made.listener()
    made.loop.pause(listener)
    made.run(made.ends(), [])
    assert listener.calls == ["look"]
    assert caplog.records == []  # it was taken up once


def test_a_listener_that_pauses_in_the_drain_is_not_given_up(rig: MakeRig) -> None:
    """Out of descriptors: clients that wait there are taken when one is free."""
    made = rig()
    listener, one = made.listener(), made.handler()
    look = listener.look

    def out_of_descriptors(service: Any) -> bool:
        made.loop.pause(listener)
        listener.look = look  # type: ignore[method-assign]
        return False

    listener.look = out_of_descriptors  # type: ignore[method-assign]
    listener.waiting = 1

    def leave() -> Events:
        one.leave()
        return []

    made.run(made.ends(), [], leave, [])
    assert listener.waiting == 0
    assert listener.fd not in made.loop.handlers


def test_a_loop_that_is_abandoned_ends_at_once(rig: MakeRig) -> None:
    made = rig()
    one = made.handler()
    one.does["event"] = made.loop.abandon
    made.run([(one.fd, IN)])
    assert made.loop.finished


def test_the_end_wakes_the_threads_that_wait_and_comes_once(rig: MakeRig) -> None:
    made = rig()
    reader = made.loop._finish_reader
    made.loop._finish()
    made.loop._finish()
    assert os.read(reader, 1) == b""


# its descriptors


def test_all_descriptors_of_a_loop_are_known(rig: MakeRig) -> None:
    """A child that the app forks closes them."""
    made = rig()
    one = made.handler()
    more, other = os.pipe()

    class Owner(Source[Any]):
        fd = made.handler(add=False).fd

        def on_event(self, events: int, service: Any) -> None: ...

        def descriptors(self) -> set[int]:
            return {more}

    made.loop.add_source(Owner())
    found = made.loop.descriptors()
    assert {one.fd, Owner.fd, more, made.lifeline, made.loop._finish_reader, made.loop._finish_writer} <= found
    os.close(more)
    os.close(other)


def test_a_loop_that_is_closed_has_none(rig: MakeRig) -> None:
    made = rig()
    made.run(made.ends())
    assert made.loop in forked._held.holders
    made.loop.close()
    assert made.loop not in forked._held.holders
    assert made.poller.closed
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(made.loop._finish_reader)
    made.loop._finish_reader = os.open(os.devnull, os.O_RDONLY)


# threads


def test_two_threads_of_a_shared_loop_serve_two_handlers_at_once_and_both_end() -> None:
    """With the kernel's own poller: the event of one is handed out while the other is being served."""
    lifeline, mold = os.pipe()
    loop: Loop[FakeService] = Loop(lifeline, shared=True)
    both = threading.Barrier(2, timeout=PATIENCE)

    class Meeting(Source[FakeService]):
        def __init__(self) -> None:
            self.sock, self.far = socket.socketpair()
            self.fd = self.sock.fileno()
            self.threads: set[int] = set()

        def on_event(self, events: int, service: FakeService) -> None:
            self.sock.recv(10)
            both.wait()
            self.threads.add(threading.get_ident())

    handlers = [Meeting(), Meeting()]
    for each in handlers:
        loop.add(each)
    threads = [threading.Thread(target=loop.run, args=(FakeService(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        for each in handlers:
            each.far.send(b"x")
        wait_until(lambda: all(each.threads for each in handlers), "both events")
        assert handlers[0].threads.isdisjoint(handlers[1].threads)
        for each in handlers:
            each.threads.clear()
    os.close(mold)
    for each in handlers:
        loop.remove(each)
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    for each in handlers:
        each.sock.close()
        each.far.close()
    loop.close()
    os.close(lifeline)
