"""Delays of restarts, and descriptions of exits."""

from __future__ import annotations

import signal

import pytest

from poolctl.supervision.restart import RestartPolicy, cause, when


def test_young_deaths_in_a_row_have_growing_delays() -> None:
    policy = RestartPolicy()
    assert [policy.delay(0.0) for _ in range(7)] == [0, 0, 0.1, 0.2, 0.4, 0.8, 1.6]


def test_the_delay_is_limited() -> None:
    policy = RestartPolicy()
    assert max(policy.delay(1.0) for _ in range(2000)) == 10.0


def test_a_long_life_resets_the_delay() -> None:
    policy = RestartPolicy()
    assert [policy.delay(served) for served in (0, 0, 0, 5.1, 0, 0, 0)] == [0, 0, 0.1, 0, 0, 0, 0.1]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "exited with status 0"),
        (7, "exited with status 7"),
        (-signal.SIGKILL, "was killed by SIGKILL"),
        (-(signal.SIGRTMIN + 3), f"was killed by signal {signal.SIGRTMIN + 3}"),
    ],
)
def test_causes_in_words(status: int, words: str) -> None:
    assert cause(status) == words


def test_delays_in_words() -> None:
    assert (when(0.0), when(0.4), when(10.0)) == ("now", "in 0.4 s", "in 10 s")
