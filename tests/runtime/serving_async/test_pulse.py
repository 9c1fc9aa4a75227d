"""The beats of an event loop, whose time passes when a test says so, with a clock that it may miss."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import copy_context

import pytest
from harness.jumping_events import JumpingEvents
from harness.phase_rig import row

from poolctl.runtime.scoreboard import BEAT, BEAT_NS, LAG, lag_of
from poolctl.runtime.serving_async.pulse import FORGETS_BEATS, NEGLIGIBLE_NS, Pulse

SECOND_NS = 10**9


class Rig:
    """A loop and its pulse. ``flying``: a request is in flight."""

    def __init__(self) -> None:
        self.events = JumpingEvents()
        self.now = 1000 * SECOND_NS
        self.flying = False
        self.row = row()
        self.pulse = Pulse(self.events, copy_context(), lambda: self.flying, lambda: self.now)
        self.pulse.row = self.row

    def beat(self, late: int = 0) -> None:
        """The time of the next beat comes, which the loop misses by so many nanoseconds."""
        self.now += BEAT_NS + late
        self.events.pass_time((BEAT_NS + late) / 1e9)
        self.events.rounds()

    def happens(self) -> None:
        """What a loop does for each event."""
        if self.pulse.quiet:
            self.pulse.wake()

    @property
    def lag(self) -> int:
        return lag_of(self.row, self.now)


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.events.close()


def test_a_loop_that_has_never_had_anything_to_do_rests(rig: Rig) -> None:
    rig.now += 60 * SECOND_NS
    assert rig.row[BEAT] == rig.lag == 0


def test_the_figure_rises_at_once_and_falls_over_a_second(rig: Rig) -> None:
    rig.flying = True
    rig.happens()
    rig.beat()
    assert rig.lag == 0
    rig.beat(late=SECOND_NS)
    assert rig.lag == SECOND_NS
    figures = []
    for _ in range(2 * FORGETS_BEATS):
        rig.beat()
        figures.append(rig.lag)
    assert figures == sorted(figures, reverse=True)
    assert figures[0] > 0.85 * SECOND_NS
    assert 0.3 * SECOND_NS < figures[FORGETS_BEATS - 1] < 0.4 * SECOND_NS
    rig.beat(late=SECOND_NS)
    assert rig.lag == SECOND_NS


def test_a_loop_that_is_blocked_is_as_late_as_it_is_now(rig: Rig) -> None:
    rig.happens()
    rig.now += BEAT_NS
    assert rig.lag == 0
    rig.now += 7 * SECOND_NS
    assert rig.lag == 7 * SECOND_NS


def test_it_beats_while_a_request_is_in_flight(rig: Rig) -> None:
    rig.flying = True
    rig.happens()
    for _ in range(100):
        rig.beat()
        assert rig.row[BEAT] == rig.now
    rig.flying = False
    rig.beat()
    assert rig.row[BEAT] == 0


def test_it_beats_while_events_come(rig: Rig) -> None:
    for _ in range(100):
        rig.happens()
        rig.beat()
        assert rig.row[BEAT] == rig.now
    rig.beat()
    assert rig.row[BEAT] == 0


def test_an_idle_loop_is_not_woken(rig: Rig) -> None:
    rig.happens()
    rig.beat()
    rig.beat()
    assert rig.row[BEAT] == 0
    assert not rig.pulse._beats
    assert not rig.events._scheduled  # type: ignore[attr-defined]  # the timers of asyncio
    rig.happens()
    assert rig.row[BEAT] == rig.now


def test_an_idle_loop_that_was_late_remembers_it_for_a_while(rig: Rig) -> None:
    rig.happens()
    rig.beat(late=SECOND_NS)
    rig.beat()
    assert rig.lag > NEGLIGIBLE_NS
    for _ in range(FORGETS_BEATS):
        rig.beat()
    assert rig.row[BEAT] == rig.row[LAG] == 0


def test_on_a_machine_that_is_always_late_an_idle_loop_rests_too(rig: Rig) -> None:
    rig.happens()
    for _ in range(FORGETS_BEATS + 1):
        rig.beat(late=SECOND_NS)
    assert rig.row[BEAT] == 0


def test_before_the_row_is_known_nothing_beats(rig: Rig) -> None:
    rig.pulse.row = None
    rig.happens()
    assert rig.pulse.quiet
    rig.pulse.row = rig.row
    rig.happens()
    assert rig.row[BEAT] == rig.now


def test_a_child_whose_row_is_gone_stops_without_a_word(rig: Rig) -> None:
    raised: list[object] = []
    rig.events.set_exception_handler(lambda events, context: raised.append(context))
    rig.happens()
    rig.row.release()
    rig.beat()
    assert raised == []
    assert not rig.events._scheduled  # type: ignore[attr-defined]
