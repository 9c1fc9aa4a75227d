"""The table of a server's drain: which phase may follow which."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from poolctl.supervision.server_drain import DRAIN_TRANSITIONS, DrainPhase, ServerDrain


@pytest.mark.parametrize(("before", "after"), list(itertools.product(DrainPhase, DrainPhase)))
def test_only_the_transitions_of_the_table_are_legal(before: DrainPhase, after: DrainPhase) -> None:
    drain = ServerDrain(SimpleNamespace(name="shop"))  # type: ignore[arg-type]  # nothing of it is asked for
    drain._phase = before
    if after in DRAIN_TRANSITIONS[before]:
        drain.phase = after
        assert drain.phase is after
    else:
        with pytest.raises(AssertionError):
            drain.phase = after


def test_every_phase_leads_to_serving() -> None:
    reached = {DrainPhase.SERVING}
    while more := {each for each, after in DRAIN_TRANSITIONS.items() if after & reached} - reached:
        reached |= more
    assert reached == set(DrainPhase)
