"""Timeouts that change: what counts for a wait that began before."""

from __future__ import annotations

import time

from poolctl.runtime.timeouts import REMEMBERED_CHANGES, Timeouts


def test_a_wait_that_is_under_way_does_not_get_shorter() -> None:
    timeouts = Timeouts(head=9.0, idle=60.0, write=30.0, request=20.0)
    before = time.monotonic()
    timeouts.take(Timeouts(head=12.0, idle=1.0, write=30.0, request=5.0))
    after = time.monotonic()
    now, then = timeouts.at(after), timeouts.at(before)
    assert (now.head, now.idle, now.write, now.request) == (12.0, 1.0, 30.0, 5.0)
    assert (then.head, then.idle, then.write, then.request) == (12.0, 60.0, 30.0, 20.0)
    assert now is timeouts
    assert before <= timeouts.changed <= after


def test_all_that_hold_the_object_have_the_values() -> None:
    timeouts = Timeouts()
    new = Timeouts(head=1.0, idle=2.0, write=3.0, body=4.0, body_rate=5, request=6.0, drain=7.0)
    timeouts.take(new)
    assert timeouts == new


def test_a_wait_has_the_longest_value_since_it_began() -> None:
    timeouts = Timeouts(idle=50.0)
    moments = []
    for idle in (10.0, 30.0, 5.0):
        moments.append(time.monotonic())
        timeouts.take(Timeouts(idle=idle))
    assert [timeouts.at(moment).idle for moment in [*moments, time.monotonic()]] == [50.0, 30.0, 30.0, 5.0]


def test_what_is_remembered_is_bounded_and_no_wait_gets_shorter_by_that() -> None:
    timeouts = Timeouts(idle=100.0)
    moments = []
    for number in range(3 * REMEMBERED_CHANGES):
        moments.append(time.monotonic())
        timeouts.take(Timeouts(idle=99.0 - number))
    found = [timeouts.at(moment).idle for moment in moments]
    assert found[0] == 100.0
    assert all(idle >= 100.0 - number for number, idle in enumerate(found))
    newest = 1 - REMEMBERED_CHANGES
    assert found[newest:] == [100.0 - number for number in range(len(found))][newest:]
    assert len(timeouts._earlier) == REMEMBERED_CHANGES


def test_equal_values_are_no_change() -> None:
    timeouts = Timeouts(idle=60.0)
    for _ in range(2):
        timeouts.take(Timeouts(idle=5.0))
    assert len(timeouts._earlier) == 1


def test_no_limit_on_requests_stays_none() -> None:
    timeouts = Timeouts(request=None)
    before = time.monotonic()
    timeouts.take(Timeouts(request=1.0))
    assert timeouts.at(before).request is None
