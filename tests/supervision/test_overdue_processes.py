"""What a mold does with processes whose requests take too long, with times that are given; how it ends a process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from harness.machine import PATIENCE
from harness.server import wait_until

from poolctl.runtime.system import forked
from poolctl.supervision.child import BARE_SECONDS, LAST_WORDS_SECONDS, Child, is_stopped
from poolctl.supervision.mold import CHECK_SECONDS, REPLACE_AGAIN_SECONDS, Mold
from poolctl.supervision.plan import Lateness, Plan, Role
from poolctl.supervision.reports import receive

ONE = Lateness(31.0, others=2, stuck=False)


class LatePlan(Plan):
    """Workers with three threads each; ``late``: what is known of each, by its name. ``fixed``: whether there are no
    further numbers."""

    name, drain, request = "shop", 10.0, 30.0

    def __init__(self, workers: int, fixed: str) -> None:
        self.roles = [Role(f"worker {n}", f"poolctl: worker {n}", print, frozenset(), 1, (n,)) for n in range(workers)]
        self.owned: set[int] = set()
        self.late: dict[str, Lateness] = {}
        self._fixed = fixed

    size, fixed = 2, property(lambda self: self._fixed)  # type: ignore[assignment]

    def died(self, role: Role, pid: int) -> None:
        """It does not matter here."""

    def close_for(self, stage: int) -> None:
        """It does not matter here."""

    def overdue(self, role: Role, *, draining: bool) -> Lateness | None:
        return self.late.get(role.name)


class Rig:
    """A mold that does not run. Its workers are processes that sleep."""

    def __init__(self, fixed: str = "") -> None:
        self.plan = LatePlan(2 if fixed else 5, fixed)
        self.near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.mold = Mold(self.plan, self.near, -1, -1)
        self.sleepers = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"]) for _ in range(2)]
        self.first, self.second = self.mold.children[:2]
        for child, process in zip(self.mold.children, self.sleepers, strict=False):
            child.started(process.pid, 0.0, os.open(os.devnull, os.O_WRONLY))
            child.ready = 0.0

    def turn(self, now: float) -> None:
        self.mold._end_overdue(now)
        self.mold._end_slow(now)

    def reported(self) -> list[str]:
        self.mold.outbox.flush()
        return [report.text for report in receive(self.far)[0] if report.kind == "recycle"]

    def close(self) -> None:
        for process in self.sleepers:
            process.kill()
            process.wait(PATIENCE)
        for child in (self.first, self.second):
            child.exited(0.0)
        mold = self.mold
        pipes = {*mold.readers, *mold.writers}
        forked.release({mold.reports.fileno(), mold.reporter.fileno(), *pipes})
        mold.signals.close()
        for sock in (self.near, self.far, mold.reports, mold.reporter):
            sock.close()
        for pipe in pipes:
            os.close(pipe)


@pytest.fixture
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    made = Rig(getattr(request, "param", ""))
    yield made
    made.close()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage().partition("; ")[2] for record in caplog.records if "timeouts.request" in record.getMessage()
    ]


def test_a_worker_is_replaced_once_while_its_request_hangs(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.plan.late = {"worker 0": ONE}
    for half_seconds in range(100):
        rig.turn(100.0 + half_seconds / 2)
    assert lines(caplog) == ["replacing it"]
    assert rig.mold.roster.state.recycling == 1
    assert rig.sleepers[0].poll() is None


def test_a_replacement_that_fails_is_tried_again_and_said_from_time_to_time(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.plan.late = {"worker 0": ONE, "worker 1": ONE}
    for seconds in range(4 * int(REPLACE_AGAIN_SECONDS)):
        rig.mold.roster.step(100.0 + seconds)
        rig.turn(100.0 + seconds)
        if rig.mold.roster.replacement:
            rig.mold.roster.replacement.new.policy.deaths = 3
    assert lines(caplog) == ["replacing it"] * 2 + ["still not replaced; trying again"] * 6


@pytest.mark.parametrize("rig", ["its number of workers is fixed"], indirect=True)
def test_where_there_is_no_number_for_a_successor_the_supervisor_is_asked(rig: Rig) -> None:
    rig.plan.late = {"worker 1": ONE}
    for seconds in range(int(REPLACE_AGAIN_SECONDS)):
        rig.turn(100.0 + seconds)
    assert rig.reported() == ["worker 1: a request took longer than timeouts.request"]
    rig.turn(100.0 + REPLACE_AGAIN_SECONDS)
    assert len(rig.reported()) == 1


def test_a_process_that_leaves_is_ended_when_nothing_else_is_left(rig: Rig) -> None:
    rig.first.let_go("a reason")
    rig.first.tell_to_leave(100.0 + rig.plan.drain)
    rig.plan.late = {"worker 0": ONE}
    rig.turn(105.0)
    assert not rig.first.asked
    rig.plan.late = {"worker 0": Lateness(36.0, others=0, stuck=False)}
    rig.turn(100.0 + CHECK_SECONDS / 2)  # it may still take something
    assert not rig.first.asked
    rig.turn(106.0)
    assert rig.sleepers[0].wait(PATIENCE) == -signal.SIGKILL
    assert rig.first.finished
    assert rig.sleepers[1].poll() is None


def test_a_process_that_drains_with_its_generation_is_ended_likewise(rig: Rig) -> None:
    rig.mold.deadline = 100.0 + rig.plan.drain
    rig.plan.late = {"worker 0": ONE, "worker 1": Lateness(36.0, others=0, stuck=False)}
    rig.turn(106.0)
    assert rig.sleepers[1].wait(PATIENCE) == -signal.SIGKILL
    assert rig.sleepers[0].poll() is None


def test_a_process_whose_threads_all_hang_is_ended_at_once(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.plan.late = {"worker 0": Lateness(36.0, others=0, stuck=True)}
    rig.turn(100.0)
    rig.turn(100.5)
    assert rig.sleepers[0].wait(PATIENCE) == -signal.SIGKILL
    assert lines(caplog) == ["killed"]
    assert not rig.first.finished, "its successor serves what waits"


# ending a process


def ended(
    script: str, *times: float, says: str = "", suspended: bool = False, occupied: bool = True
) -> tuple[int, str]:
    """How a process ends that the mold ends, and what it has written. ``times``: of the mold's turns, from the request
    on; ``says``: what it writes before the last one. ``suspended``: a signal has stopped it; ``occupied``: it would
    take nothing new."""
    reader, writer = os.pipe()
    start = f"import faulthandler, os, signal, sys, time\nend = {reader}\n{script}\nprint('up', flush=True)\n"
    command = [sys.executable, "-c", start + "while True: time.sleep(3600)"]
    process = subprocess.Popen(command, pass_fds=[reader], stdout=-1, stderr=-1, text=True)
    os.close(reader)
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "up\n"
        role: Any = SimpleNamespace(title="poolctl: worker 0", rows=(0,))
        child = Child(role)
        child.started(process.pid, 0.0, channel=writer)
        if suspended:
            process.send_signal(signal.SIGSTOP)
            wait_until(lambda: is_stopped(process.pid), "a suspended process")
        assert child.described == f"worker 0 (pid {process.pid}{', stopped by a signal' * suspended})"
        child.end(100.0, lambda: occupied)
        child.end(100.0, lambda: occupied)
        said = ""
        for seconds in times:
            if seconds == times[-1]:
                while says not in said:
                    said += process.stderr.readline()
            child.end_slow(100.0 + seconds)
        status = process.wait(PATIENCE)
        said += process.stderr.read()
    child.exited(200.0)
    return status, said


LISTENS = "import threading\nthreading.Thread(target=lambda: (os.read(end, 1), os._exit(7))).start()"
WRITES = "faulthandler.register(signal.SIGUSR2)"
DEAF = "signal.signal(signal.SIGUSR2, signal.SIG_IGN)"


def test_a_process_ends_itself() -> None:
    assert ended(LISTENS, LAST_WORDS_SECONDS / 2) == (7, "")


def test_a_suspended_one_goes_on_to_end_itself_if_it_takes_nothing_new() -> None:
    assert ended(LISTENS, LAST_WORDS_SECONDS / 2, suspended=True) == (7, "")


def test_a_suspended_one_that_might_take_something_new_is_killed_at_once() -> None:
    assert ended(LISTENS, 0.0, suspended=True, occupied=False) == (-signal.SIGKILL, "")


def test_one_that_closed_its_end_is_killed_at_once() -> None:
    assert ended(f"os.close(end)\n{DEAF}", 0.0, BARE_SECONDS)[0] == -signal.SIGKILL


STEPS = LAST_WORDS_SECONDS / 2, LAST_WORDS_SECONDS, LAST_WORDS_SECONDS + BARE_SECONDS


def test_one_that_does_not_end_itself_writes_its_bare_stacks_and_is_killed() -> None:
    assert ended(WRITES, *STEPS, says="most recent call first")[0] == -signal.SIGKILL


def test_one_that_ignores_everything_is_killed() -> None:
    assert ended(DEAF, *STEPS) == (-signal.SIGKILL, "")
