"""What can be tested without a server; tests/plugins checks that workers bind themselves to CPUs."""

from __future__ import annotations

from poolctl_pinned import Pinned


def test_it_is_a_pool_like_process() -> None:
    pool = Pinned(size=4, threads=2)
    assert pool.like == "process"
    assert pool.shape(4, shares_one_event_set=False) == (4, 2)
