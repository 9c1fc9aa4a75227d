"""Signals are recorded, none is lost, and forked processes start without recording.

They are raised in this thread: one that is sent to the process may reach another thread of whoever runs the tests.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from math import inf

import pytest
from harness.machine import within

from poolctl.supervision.fork import fork
from poolctl.supervision.signals import Signals, held_back

pytestmark = [
    pytest.mark.timeout(20),
    # the test runner may have threads; the supervisor and the mold have none
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


def test_signals_are_taken_in_order() -> None:
    with Signals(signal.SIGTERM, signal.SIGINT) as signals:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            signal.raise_signal(number)
        assert signals.wait([], inf) == {signals.reader}
        assert signals.take() == [signal.SIGTERM, signal.SIGINT, signal.SIGTERM]
        assert signals.take() == []


def test_a_signal_before_the_sleep_ends_it() -> None:
    with Signals(signal.SIGTERM) as signals:
        signal.raise_signal(signal.SIGTERM)
        began = time.monotonic()
        signals.wait([], 10)
        assert time.monotonic() - began < within(5)


def test_the_sleep_ends_by_time_and_by_descriptors() -> None:
    reader, writer = os.pipe()
    with Signals(signal.SIGTERM) as signals:
        began = time.monotonic()
        assert signals.wait([reader], 0.05) == set()
        assert time.monotonic() - began >= 0.05
        assert signals.wait([reader], -1) == set()
        os.close(writer)
        assert signals.wait([reader], inf) == {reader}
    os.close(reader)


def test_previous_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with Signals(signal.SIGTERM, signal.SIGINT):
        assert signal.getsignal(signal.SIGINT) != before[1]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_the_last_ones_leave_nothing_that_ends_or_stops_the_process() -> None:
    """In a process of its own: before, each of these ended it, or froze it between its last line and its end."""
    script = """
import os, signal
from poolctl.supervision.signals import SUPERVISED, Signals
with Signals(*SUPERVISED, last=True):
    pass
for number in SUPERVISED:
    os.kill(os.getpid(), number)
raise SystemExit(7)
"""
    done = subprocess.run([sys.executable, "-c", script], timeout=within(30), check=False)
    assert done.returncode == 7


def test_blocked_signals_arrive_afterwards() -> None:
    with Signals(signal.SIGTERM) as signals:
        with held_back():
            signal.raise_signal(signal.SIGTERM)
            assert signals.take() == []
        assert signals.take() == [signal.SIGTERM]


def test_a_signal_to_a_forked_process_is_not_recorded_by_its_parent() -> None:
    reader, writer = os.pipe()
    with Signals(signal.SIGTERM) as signals:

        def child() -> int:
            signal.raise_signal(signal.SIGTERM)
            os.write(writer, b"alive")
            return 7

        pid = fork(child)
        assert os.read(reader, 5) == b"alive"
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert signals.take() == []
    os.close(reader)
    os.close(writer)


def test_the_parents_stack_does_not_run_in_the_child() -> None:
    reader, writer = os.pipe()
    here = os.getpid()
    try:
        pid = fork(lambda: 1 // 0)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        os.write(writer, b"." if os.getpid() == here else b"child")
    assert status == 1
    assert os.read(reader, 100) == b"."
    os.close(reader)
    os.close(writer)
