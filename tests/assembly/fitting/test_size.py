from __future__ import annotations

import os

import pytest

from poolctl.assembly.fitting import size


@pytest.mark.parametrize(("cores", "expected"), [(1, 1), (2, 2), (64, 64)])
def test_a_process_for_each_core(cores: int, expected: int) -> None:
    assert size.processes(cores) == size.workers("process", "auto", cores) == expected


@pytest.mark.parametrize(("cores", "expected"), [(1, 5), (2, 6), (8, 12), (28, 32), (64, 32)])
def test_threads_for_work_that_blocks(cores: int, expected: int) -> None:
    assert size.threads(cores) == size.workers("thread", "auto", cores) == expected


def test_a_number_is_a_number() -> None:
    assert size.workers("process", 3, 64) == size.workers("thread", 3, 64) == 3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the platform binds no process to cores")
def test_only_usable_cores_count() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert size.usable_cores() == size.workers("process", "auto") == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert size.usable_cores() == len(allowed)
