"""How many workers an elastic pool has, with times and loads that are given."""

from __future__ import annotations

from poolctl.supervision.elastic import LONGEST_WINDOW, Elastic, PoolLoad, ScaleLimits

LIMITS = ScaleLimits(least=2, most=16, wait=0.02, idle=60.0)


class Pool:
    """A pool under a load that stays the same for some time."""

    def __init__(self, limits: ScaleLimits = LIMITS) -> None:
        self.elastic, self.size, self.now = Elastic(limits), limits.least, 1000.0

    def under(self, seconds: float, busy: int, waiting: int | None = 0, capacity: int = 1) -> int:
        """Look as often as the policy asks. Returns the size at the end; changes take effect at once."""
        end = self.now + seconds
        while self.now <= end:
            served = min(busy, self.size * capacity)
            left = None if waiting is None else max(busy + waiting - served, 0)
            self.size = self.elastic.look(self.now, self.size, PoolLoad(served, capacity, left))
            self.now = self.elastic.due
        return self.size


def test_it_grows_to_what_the_load_needs_once_tasks_have_waited() -> None:
    pool = Pool()
    assert pool.under(0.0, busy=9) == 2  # at the first look nothing has waited long
    assert pool.under(0.05, busy=9) == 9


def test_it_never_has_more_than_the_most() -> None:
    assert Pool().under(1.0, busy=500) == 16


def test_tasks_that_wait_for_a_moment_are_no_reason() -> None:
    pool = Pool()
    for _ in range(50):
        assert pool.under(0.0, busy=9) == 2
        assert pool.under(0.0, busy=1) == 2


def test_tasks_that_wait_while_a_worker_is_free_are_no_reason() -> None:
    """They are on their way, or bound to a worker; another one would not help them."""
    elastic = Elastic(LIMITS)
    assert {elastic.look(1000.0 + step, 4, PoolLoad(3, 1, 5)) for step in range(20)} == {4}


def test_a_worker_that_serves_several_at_once_counts_for_several() -> None:
    assert Pool().under(1.0, busy=9, capacity=4) == 3


def test_without_a_queue_it_doubles_while_all_are_busy() -> None:
    pool = Pool()
    assert pool.under(0.03, busy=2, waiting=None) == 4
    assert pool.under(1.0, busy=3, waiting=None) == 4
    assert pool.under(1.0, busy=50, waiting=None) == 16


def test_it_shrinks_to_the_most_that_were_needed_in_the_window() -> None:
    pool = Pool()
    pool.under(1.0, busy=12)
    assert pool.under(65.0, busy=1) == 12  # in the window that has ended there were 12
    pool.under(0.1, busy=5)
    assert pool.under(60.0, busy=1) == 5
    assert pool.under(60.0, busy=1) == 2


def test_flapping_makes_the_windows_longer_and_calm_makes_them_shorter() -> None:
    pool = Pool()
    windows = []
    for _ in range(6):
        pool.under(0.1, busy=10)
        pool.under(pool.elastic.window * 2 + 1, busy=1)
        windows.append(pool.elastic.window)
        pool.under(0.1, busy=10)  # again, soon after it shrank
    assert windows[0] < windows[1] < windows[2]
    assert max(windows) <= LONGEST_WINDOW * LIMITS.idle
    pool.under(LIMITS.idle * LONGEST_WINDOW * 6, busy=2)
    assert pool.elastic.window == LIMITS.idle


def test_a_pause_puts_off_the_next_look() -> None:
    elastic = Elastic(LIMITS)
    elastic.look(1000.0, 2, PoolLoad(0, 1, 0))
    elastic.pause(1005.0)
    assert elastic.due == 1005.0
