"""MyPart is a pool of processes with an option."""

from poolctl.plugin import Process
from my_part import MyPart


def test_it_is_a_pool_of_processes() -> None:
    pool = MyPart(size=3, niceness=7)
    assert isinstance(pool, Process)
    assert pool.shape(3, shares_one_event_set=False) == (3, 1)
    assert pool.niceness == 7
