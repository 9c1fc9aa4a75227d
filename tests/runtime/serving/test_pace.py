"""How slowly a body may arrive: only time that the server waits for the client counts."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile
from types import SimpleNamespace
from typing import Any

import pytest
from harness.phase_rig import TIMEOUTS

from poolctl.runtime.serving.pace import STEP_SECONDS, drips
from poolctl.runtime.timeouts import Timeouts

EVERY = 0.5  # seconds between two looks, which a float holds exactly


def looks(body: Any, every: float = EVERY, *, waiting: bool = True) -> int:
    """How many looks it takes until the body is late; 500 if it never is."""
    times = (100 + every * number for number in range(500))
    return len(list(takewhile(lambda now: not drips(body, now, TIMEOUTS, waiting=waiting), times)))


def body(came: int = 0) -> Any:
    return SimpleNamespace(looked=0.0, waited=0.0, came=came)


@pytest.mark.parametrize("came", [0, TIMEOUTS.body_rate * 10])
def test_a_body_has_its_time_and_a_second_for_what_came(came: int) -> None:
    patience = TIMEOUTS.body + came / TIMEOUTS.body_rate
    assert looks(body(came)) == patience / EVERY + 1


def test_time_in_which_the_app_asks_for_nothing_does_not_count() -> None:
    assert looks(body(), waiting=False) == 500


def test_of_a_long_time_between_two_looks_only_a_step_counts() -> None:
    """The loop was busy, and the client may have sent all along."""
    assert looks(body(), every=60.0) == TIMEOUTS.body / STEP_SECONDS + 1


def test_a_body_keeps_the_pace_with_which_it_began() -> None:
    coming, timeouts = body(), replace(TIMEOUTS)
    assert not drips(coming, 100.0, timeouts)
    timeouts.take(Timeouts(body=0.1, body_rate=1))
    coming.waited = TIMEOUTS.body - STEP_SECONDS
    assert not drips(coming, 101.0, timeouts)
    another = body()
    assert not drips(another, 100.0, timeouts)
    assert drips(another, 101.0, timeouts)
