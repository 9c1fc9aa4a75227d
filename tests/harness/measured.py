"""A pytest plugin that measures the coverage of ``poolctl/runtime`` by its own tests, while all tests run.

The tracer of Python before 3.12 doubles the time of what it sees, so it rests while other tests run: those that start
servers have nothing to show it, and those that draw their input, or feed it piece by piece, reach no line that examples
do not. Each process of pytest-xdist writes a file of its own; the first process combines them.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from coverage import Coverage

ROOT = Path(__file__).parents[2]
MEASURED = ROOT / "tests" / "runtime"
PIECES = re.compile(r"byte_by_byte|one_byte_at_a_time|in_two_parts")  # the same input as in other tests, in pieces
LEAST = 85.0  # percent of the statements

if sys.version_info >= (3, 12):
    os.environ.setdefault("COVERAGE_CORE", "sysmon")
tracer = Coverage(source=["poolctl.runtime"], data_suffix=True, data_file=ROOT / ".coverage")
tracer.start()  # before conftest.py, whose imports run the statements outside of functions


class Tracing:
    """Belongs to a process that runs tests."""

    def __init__(self) -> None:
        self.running = True

    def switch(self, wanted: bool) -> None:
        if wanted != self.running:
            self.running = wanted
            (tracer.start if wanted else tracer.stop)()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        drawn = hasattr(getattr(item, "obj", None), "hypothesis")
        pieces = PIECES.search(item.name)
        self.switch(item.path.is_relative_to(MEASURED) and not (drawn or pieces))
        return (yield)

    def pytest_sessionfinish(self) -> None:
        self.switch(False)
        tracer.save()


class Report:
    """Belongs to the first process: says what was reached, and fails the run if that is too little."""

    percent: float | None = None

    def pytest_sessionstart(self) -> None:
        for old in ROOT.glob(".coverage.*"):
            old.unlink()

    @pytest.hookimpl(trylast=True)  # the other processes have ended
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        measured = Coverage(data_file=ROOT / ".coverage")
        measured.combine([str(ROOT)])
        with open(os.devnull, "w") as nowhere:
            self.percent = measured.report(file=nowhere)
        if self.percent < LEAST and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.percent is not None:
            terminalreporter.line(f"tests/runtime reach {self.percent:.1f} % of poolctl/runtime (least: {LEAST:.0f})")


def pytest_configure(config: pytest.Config) -> None:
    worker = hasattr(config, "workerinput")
    if worker or not config.getoption("numprocesses", None):
        config.pluginmanager.register(Tracing(), "tracing")
    else:
        tracer.stop()
    if not worker:
        config.pluginmanager.register(Report(), "report of the coverage")
