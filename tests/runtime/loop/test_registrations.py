"""Which handler is behind which descriptor, and what the poller waits for there."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import pytest
from harness.loop_rig import LoopRig

from poolctl.runtime.loop.source import Delivery
from poolctl.runtime.system.poller import EDGE, EXCLUSIVE, IN, ONCE, OUT, RDHUP

MakeRig = Callable[..., LoopRig]


def test_what_is_added_is_in_the_loop_and_the_poller(rig: MakeRig) -> None:
    made = rig()
    one = made.handler()
    assert made.loop.handlers[one.fd] is one
    assert made.poller.masks[one.fd] == IN
    assert one.watched


def test_what_is_removed_is_in_neither_and_may_be_closed_by_one(rig: MakeRig) -> None:
    made = rig()
    one = made.handler()
    made.loop.sources.add(one.fd)
    assert made.loop.remove(one)
    assert not made.loop.remove(one)
    assert one.fd not in made.loop.handlers
    assert one.fd not in made.poller.masks
    assert one.fd not in made.loop.sources


def test_modify_changes_what_is_waited_for(rig: MakeRig) -> None:
    made = rig()
    one = made.handler()
    made.loop.modify(one, OUT)
    assert (one.mask, made.poller.masks[one.fd]) == (OUT, OUT)


def test_in_a_shared_loop_modify_asks_for_edges(rig: MakeRig) -> None:
    made = rig(shared=True)
    one = made.handler(Delivery.EDGE)
    made.loop.modify(one, OUT)
    assert made.poller.masks[one.fd] == OUT | EDGE | RDHUP


@pytest.mark.parametrize("call", ["modify", "rearm", "wake", "mute", "renew"])
def test_the_number_of_a_handler_that_has_left_is_not_touched(rig: MakeRig, call: str) -> None:
    """It may belong to another handler by now."""
    made = rig(shared=True)
    gone, heir = made.handler(), made.handler(add=False)
    made.loop.remove(gone)
    heir.fd = gone.fd
    made.loop.add(heir)
    before = made.poller.masks[heir.fd]
    made.poller.report(heir.fd, IN)
    getattr(made.loop, call)(gone, *([OUT] if call == "modify" else []))
    assert made.poller.masks[heir.fd] == before
    assert heir.fd in made.poller.silent
    assert not made.loop.remove(gone)
    assert made.loop.handlers[heir.fd] is heir


@pytest.mark.parametrize("call", ["modify", "rearm", "wake", "mute", "renew", "remove"])
def test_a_newcomer_that_the_poller_does_not_have_yet_is_no_error(rig: MakeRig, call: str) -> None:
    made = rig()
    one = made.handler(add=False)
    made.loop.handlers[one.fd] = one
    getattr(made.loop, call)(one, *([OUT] if call == "modify" else []))
    assert one.fd not in made.poller.masks


def test_rearm_gives_another_event(rig: MakeRig) -> None:
    made = rig(shared=True)
    one = made.handler()
    made.poller.report(one.fd, IN)
    assert not made.poller.waits_for(one.fd)
    made.loop.rearm(one)
    assert made.poller.waits_for(one.fd) == IN


def test_wake_asks_for_what_an_idle_connection_has(rig: MakeRig) -> None:
    made = rig()
    one = made.handler()
    made.loop.wake(one)
    assert made.poller.waits_for(one.fd) == IN | OUT
    assert one.mask == IN


def test_what_is_muted_keeps_a_drain_waiting_without_events(rig: MakeRig) -> None:
    made = rig()
    one = made.handler()
    made.loop.mute(one)
    assert one.fd not in made.poller.masks
    assert made.loop.handlers[one.fd] is one
    made.turns(made.ends(), [])
    assert not made.loop.finished


def test_closing_takes_a_watched_handler_out_of_the_poller(rig: MakeRig) -> None:
    made = rig()
    one = made.handler()
    made.loop.closing(one)
    made.loop.closing(one)
    assert one.fd not in made.poller.masks
    assert one.fd not in made.loop.handlers


def test_closing_does_not_tell_the_poller_of_a_handler_that_it_never_had(rig: MakeRig) -> None:
    made = rig()
    one = made.handler(add=False)
    made.loop.handlers[one.fd] = one
    made.poller.unregister = None  # type: ignore[assignment]  # would raise
    made.loop.closing(one)
    assert one.fd not in made.loop.handlers


def test_closing_leaves_the_handler_that_has_the_number_now(rig: MakeRig) -> None:
    made = rig()
    one = made.handler()
    other = made.handler(add=False)
    other.fd = one.fd
    made.loop.closing(other)
    assert made.loop.handlers[one.fd] is one
    assert one.fd in made.poller.masks


# listeners


def test_a_listener_is_a_source(rig: MakeRig) -> None:
    made = rig()
    listener = made.listener()
    assert made.loop.listening == {listener.fd: listener}
    assert listener.fd in made.loop.sources


def test_a_contended_listener_is_exclusive_and_steps_back(rig: MakeRig) -> None:
    made = rig()
    listener = made.listener()
    made.loop.remove(listener)
    made.loop.listen(listener, contended=True)
    assert made.poller.masks[listener.fd] == IN | EXCLUSIVE
    other = made.handler()
    made.loop.step_back(listener)
    assert list(made.poller.masks)[-2:] == [other.fd, listener.fd]
    assert made.poller.masks[listener.fd] == IN | EXCLUSIVE


def test_a_listener_of_one_loop_does_not_step_back(rig: MakeRig) -> None:
    made = rig()
    listener, other = made.listener(), made.handler()
    made.loop.step_back(listener)
    assert list(made.poller.masks)[-2:] == [listener.fd, other.fd]


@pytest.mark.parametrize("explicit", [False, True])
def test_where_the_poller_or_the_loop_has_no_use_for_it_nothing_is_exclusive(rig: MakeRig, explicit: bool) -> None:
    made = rig(shared=not explicit)
    made.loop._explicit = explicit
    listener = made.listener()
    made.loop.contend(listener)
    assert listener.mask == IN


def test_a_paused_listener_goes_on_with_the_next_sweep(rig: MakeRig) -> None:
    made = rig()
    listener = made.listener()
    made.turns([])
    made.loop.pause(listener)
    assert listener.fd not in made.poller.masks
    made.turns([])
    assert made.poller.waits_for(listener.fd) == IN


@pytest.mark.parametrize("leaves", ["remove", "closing"])
def test_a_paused_listener_goes_on_as_soon_as_a_descriptor_is_free(rig: MakeRig, leaves: str) -> None:
    made = rig()
    listener, one, busy = made.listener(), made.handler(), made.handler()
    made.turns([(busy.fd, IN)])
    made.loop._next_sweep = made.loop._next_look = inf
    made.loop.pause(listener)
    made.turns([(busy.fd, IN)])
    assert listener.fd not in made.poller.masks
    getattr(made.loop, leaves)(one)
    made.turns([(busy.fd, IN)])
    assert made.poller.waits_for(listener.fd) == IN


def test_a_listener_that_pauses_twice_goes_on_once(rig: MakeRig) -> None:
    made = rig(shared=True)
    listener = made.listener()
    made.loop.pause(listener)
    made.loop.pause(listener)
    made.turns([])
    assert made.poller.masks[listener.fd] == IN | ONCE
