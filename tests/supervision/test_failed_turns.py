"""The boundary around a loop's turns: which errors it notes, and which end the loop."""

from __future__ import annotations

import logging

import pytest

from poolctl.supervision import failed_turns
from poolctl.supervision.failed_turns import MAX_FAILURES, SHORTAGE_SECONDS, SPIN_SECONDS, FailedTurns


class Clock:
    """Stands in for the module time."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(failed_turns, "time", made)
    return made


def test_errors_are_logged_and_the_loop_goes_on(slept: Clock, caplog: pytest.LogCaptureFixture) -> None:
    failed = FailedTurns("the mold")
    with caplog.at_level(logging.ERROR):
        for _ in range(3 * MAX_FAILURES):
            slept.now += SPIN_SECONDS
            failed.note(ValueError("one turn"))
    assert len(caplog.records) == 3 * MAX_FAILURES
    assert caplog.records[0].getMessage() == "the mold's loop raised an error; continuing"


def test_a_loop_that_completes_no_turn_ends(slept: Clock) -> None:
    failed = FailedTurns("the mold")
    for _ in range(MAX_FAILURES + 1):
        failed.note(ValueError("each turn"))
        slept.now += SPIN_SECONDS / 2
    with pytest.raises(ValueError, match="each turn"):
        failed.note(ValueError("each turn"))


def test_a_loop_without_memory_waits_for_some(slept: Clock) -> None:
    failed = FailedTurns("the supervisor")
    for _ in range(3 * MAX_FAILURES):
        failed.note(MemoryError())
    assert slept.now >= 100.0 + 3 * MAX_FAILURES * SHORTAGE_SECONDS - SPIN_SECONDS
