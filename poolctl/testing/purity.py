"""Checks that a strategy decides only by its arguments: no files, no sockets, no clock, no sleep, no threads.

The check runs in a forked process, so that its effects are undone, and a strategy that never returns is found."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

from poolctl.assembly.sandbox.child import Report, run_in_child
from poolctl.testing.checks import Make
from poolctl.testing.samples import tasks
from poolctl.testing.simulation import Simulation
from poolctl.testing.violation import Violation

PATIENCE = 10.0  # seconds
EVENTS = (
    "open",
    "_thread.",
    "socket.",
    "subprocess.",
    "os.",
    "time.sleep",
    "shutil.",
    "tempfile.",
    "urllib.",
    "ctypes.",
    "sqlite3.",
)
CLOCKS = ("sleep", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns")
PURE = "the whole server waits meanwhile; decide by the task and the inboxes alone (task.arrived is the time)"


def check_purity(make: Make) -> None:
    """Raise Violation for anything that the strategy does besides deciding."""
    result = run_in_child(lambda: _look(make), PATIENCE)
    if result.report is None:
        raise Violation(f"it did not decide within {PATIENCE:g} s", "do not wait for locks or queues")
    if not result.report or result.report[0] == "":
        message = f"it ended the process that called it, with status {result.exit_code}\n{result.output}"
        raise Violation(message.rstrip())
    if result.report[0] != "pure":
        raise Violation(result.report[0], result.report[1])
    if result.output:
        raise Violation(f"it prints or logs for each task: {result.output.splitlines()[0][:80]}", PURE)


def _look(make: Make) -> Report:
    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    threads = threading.active_count()
    strategy = make()
    if threading.active_count() > threads:
        return "its constructor starts a thread, which forked processes do not inherit", "start no threads"
    if before and len(set(os.listdir("/proc/self/fd"))) > len(before):
        return "its constructor opens a descriptor, which all forked processes would share", "open no files or sockets"
    simulation = Simulation(strategy, 3)
    seen: list[str] = []
    watching = False

    def hook(event: str, arguments: Any) -> None:
        if watching and event.startswith(EVENTS) and not seen:
            seen.append(f"{event} {_said(arguments)}".strip())

    sys.addaudithook(hook)
    _watch_clocks(type(strategy).__module__, seen, lambda: watching)
    for number, each in enumerate(tasks(60)):
        watching = True
        try:
            simulation.arrive(each)
            if number > 6 and not simulation.idle:
                simulation.finish()
        except Violation as violation:
            return violation.what, violation.fix
        finally:
            watching = False
    if seen:
        return f"it does more than decide: {seen[0]}", PURE
    return ("pure",)


def _watch_clocks(module: str, seen: list[str], watching: Any) -> None:
    """Record calls that read a clock or sleep, made through the module time or a name in the strategy's module."""
    own = vars(sys.modules[module]) if module in sys.modules else {}
    _watch_threads(seen, watching)
    for name in CLOCKS:
        real = getattr(time, name)

        def read(*arguments: Any, real: Any = real, name: str = name) -> Any:
            if watching() and not seen:
                seen.append(f"time.{name}")
            return real(*arguments)

        for mine, value in list(own.items()):
            if value is real:
                own[mine] = read
        setattr(time, name, read)


def _watch_threads(seen: list[str], watching: Any) -> None:
    """Record starts of threads, for which Python before 3.12 has no audit event."""
    real = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if watching() and not seen:
            seen.append("threading.Thread.start")
        real(thread)

    threading.Thread.start = start  # type: ignore[assignment,method-assign]  # this process ends with the check


def _said(arguments: Any) -> str:
    return str(arguments[0])[:80] if isinstance(arguments, tuple) and arguments else ""
