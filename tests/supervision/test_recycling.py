"""Which workers are due to be replaced, with figures that are given; memory also of a real process."""

from __future__ import annotations

import os

from poolctl.supervision.recycling import Memory, RecycleLimits, Recycling, WorkerFigures

MIB = 1 << 20


def reasons(recycling: Recycling, now: float, *workers: WorkerFigures) -> dict[int, str]:
    return dict(recycling.look(now, workers))


def test_requests_count_from_the_start_of_the_process() -> None:
    recycling = Recycling(RecycleLimits(requests=100))
    assert reasons(recycling, 10.0, WorkerFigures(1, 0.0, 5000)) == {}
    assert reasons(recycling, 11.0, WorkerFigures(1, 0.0, 5099)) == {}
    (reason,) = reasons(recycling, 12.0, WorkerFigures(1, 0.0, 5100)).values()
    assert reason == "it has answered 100 requests (recycle.requests)"
    assert reasons(recycling, 13.0, WorkerFigures(2, 12.0, 5100)) == {}  # its successor under the same number


def test_it_looks_once_a_second() -> None:
    recycling = Recycling(RecycleLimits(age=1.0))
    assert list(reasons(recycling, 10.0, WorkerFigures(1, 0.0, 0))) == [1]
    assert reasons(recycling, 10.5, WorkerFigures(1, 0.0, 0)) == {}
    assert list(reasons(recycling, 11.0, WorkerFigures(1, 0.0, 0))) == [1]


def test_workers_of_one_age_are_due_at_different_times() -> None:
    dice = iter([0.0, 0.0, 0.5, 0.0, 1.0, 0.0])
    recycling = Recycling(RecycleLimits(age=100.0, jitter=0.2), dice=lambda: next(dice))
    workers = [WorkerFigures(pid, 0.0, 0) for pid in (1, 2, 3)]
    assert {now: sorted(reasons(recycling, now, *workers)) for now in (79.0, 80.0, 90.0, 100.0)} == {
        79.0: [],
        80.0: [3],
        90.0: [2, 3],
        100.0: [1, 2, 3],
    }


def test_memory_must_be_above_the_limit_in_three_samples() -> None:
    uses = [90 * MIB] * 5 + [200 * MIB] * 9 + [90 * MIB] * 5 + [200 * MIB] * 20
    second = 0
    recycling = Recycling(RecycleLimits(memory=100 * MIB), memory_of=lambda pid: uses[second], dice=lambda: 0.0)
    found = {}
    for second in range(len(uses)):
        if due := reasons(recycling, float(second), WorkerFigures(1, -1000.0, 0)):
            found[second] = due[1]
            break
    assert found == {30: "it uses 200 MiB (recycle.memory)"}  # the samples at 20, 25 and 30; those at 5 and 10 were two


def test_a_young_worker_is_left_alone() -> None:
    recycling = Recycling(RecycleLimits(requests=1, least=30.0))
    recycling.look(100.0, [WorkerFigures(1, 100.0, 0)])
    assert reasons(recycling, 129.0, WorkerFigures(1, 100.0, 500)) == {}
    assert list(reasons(recycling, 130.0, WorkerFigures(1, 100.0, 500))) == [1]


def test_the_memory_of_a_process() -> None:
    before = Memory().of(os.getpid())
    assert before
    held = bytearray(os.urandom(64 * MIB))
    after = Memory().of(os.getpid())
    assert after
    assert after - before > len(held) // 2


def test_a_process_that_has_ended_uses_none() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    assert Memory().of(pid) is None
