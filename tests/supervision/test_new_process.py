"""The process of an upgraded supervisor, where a service manager follows: whatever happens to the one in between."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.server import alive, wait_until

from poolctl.supervision import new_process
from poolctl.supervision.fork import fork, reap
from poolctl.supervision.new_process import NewProcess


@pytest.fixture
def children() -> Iterator[list[int]]:
    """Those of this process that a test has forked, which are reaped here as the supervisor does."""
    found: list[int] = []
    yield found
    for pid in found:
        wait_until(lambda pid=pid: reap(pid) is not None, "the end of the process in between")  # type: ignore[misc]


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch, children: list[int]) -> Callable[[signal.Signals, bool], None]:
    """Have the process in between send itself a signal before or after it forks."""
    test = os.getpid()

    def use(number: signal.Signals, before: bool) -> None:
        def forked(run: Callable[[], int]) -> int:
            middle = os.getpid() != test
            if middle and before:
                os.kill(os.getpid(), number)
            pid = fork(run)
            if middle:
                os.kill(os.getpid(), number)
            else:
                children.append(pid)
            return pid

        monkeypatch.setattr(new_process, "fork", forked)

    return use


def becomes(path: Path) -> Callable[[], int]:
    """What leaves a file with the pid of its parent, and waits to be killed."""

    def become() -> int:
        path.with_suffix(".new").write_text(str(os.getppid()))
        path.with_suffix(".new").rename(path)
        signal.pause()
        return 0

    return become


def descriptors() -> set[str]:
    return {
        os.readlink(f"/proc/self/fd/{fd}")
        for fd in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{fd}")
    }


@pytest.mark.parametrize("number", [signal.SIGCONT, signal.SIGKILL])
def test_it_runs_as_a_stranger_even_if_the_one_in_between_is_killed(
    tmp_path: Path, forks: Callable[[signal.Signals, bool], None], children: list[int], number: signal.Signals
) -> None:
    before = descriptors()
    forks(number, False)
    process = NewProcess.start(becomes(tmp_path / "parent"), followed=True)
    try:
        wait_until((tmp_path / "parent").exists, "the new process")
        assert process.pid not in children
        assert int((tmp_path / "parent").read_text()) != os.getpid()
        assert not process.look({})
    finally:
        process.kill()
    wait_until(lambda: process.look({}), "the news of its end")
    wait_until(lambda: not alive(process.pid), "its end")
    process.close()
    assert descriptors() == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_one_in_between_that_does_not_go_on_fails_the_start_and_nobody_waits(
    tmp_path: Path,
    forks: Callable[[signal.Signals, bool], None],
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    monkeypatch.setattr(new_process, "START_SECONDS", 0.3)
    before = descriptors()
    forks(number, True)
    with pytest.raises(OSError, match=r"unavailable|timed out"):
        NewProcess.start(becomes(tmp_path / "parent"), followed=True)
    assert descriptors() == before
    assert not (tmp_path / "parent").exists()


def test_one_whose_pid_could_not_be_used_does_not_go_on(
    tmp_path: Path, forks: Callable[[signal.Signals, bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would take this process for dead, and serve beside it."""
    pids: list[int] = []

    opens = os.pidfd_open

    def refuse(pid: int) -> int:
        if pid == os.getpid():
            return opens(pid)
        pids.append(pid)
        raise OSError(24, "too many open files")

    forks(signal.SIGCONT, False)
    monkeypatch.setattr(os, "pidfd_open", refuse)
    with pytest.raises(OSError, match="too many open files"):
        NewProcess.start(becomes(tmp_path / "parent"), followed=True)
    wait_until(lambda: not alive(pids[0]), "the end of the new process")
    assert not (tmp_path / "parent").exists()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
def test_it_stays_a_child_where_the_kernel_or_a_sandbox_lacks_the_descriptor(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks(pid: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pidfd_open", lacks)
    process = NewProcess.start(lambda: 7, followed=True)
    assert os.waitpid(process.pid, 0) == (process.pid, 7 << 8)
    assert process.look({process.pid: 7})
    assert process.ended == "exited with status 7"
