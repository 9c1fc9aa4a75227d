"""The end of a forked process, and its scheduling: both concern a whole process, so each test has one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
from harness.machine import PATIENCE


def run(code: str) -> tuple[int, list[str], str]:
    """(status, lines, errors) of a program."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return done.returncode, done.stdout.split("\n")[:-1], done.stderr


START = """
import atexit, os, sys, threading, time
from poolctl.runtime.pool.finish import begin, finish
atexit.register(print, "the parent's")
begin()
"""


def test_threads_and_exit_functions_end_as_in_a_program() -> None:
    status, lines, _ = run(
        START
        + """
atexit.register(print, "first")
atexit.register(print, "last")
def work():
    time.sleep(0.05)
    print("thread")
threading.Thread(target=work).start()
status = finish(3, 10)
sys.stdout.flush()
os._exit(status)
"""
    )
    assert (status, lines) == (3, ["thread", "last", "first"])


def test_what_an_exit_function_raises_is_printed_and_ends_nothing() -> None:
    status, lines, errors = run(
        START
        + """
atexit.register(print, "first")
atexit.register(lambda: 1 / 0)
status = finish(0, 10)
sys.stdout.flush()
os._exit(status)
"""
    )
    assert (status, lines) == (0, ["first"])
    assert "ZeroDivisionError" in errors


def test_after_its_time_the_process_ends_anyway() -> None:
    status, _, errors = run(
        START
        + """
import logging
logging.basicConfig()
threading.Thread(target=lambda: time.sleep(3600)).start()
os._exit(finish(0, 0.05))
"""
    )
    assert status == 1
    assert "did not end in time" in errors


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="another system than Linux")
def test_a_process_that_does_not_preempt_is_a_batch_process_and_so_are_its_children() -> None:
    _, lines, _ = run(
        """
import os
from poolctl.runtime.pool.yielding import do_not_preempt
do_not_preempt()
print(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_BATCH, flush=True)
pid = os.fork()
if not pid:
    print(os.sched_getscheduler(0) == os.SCHED_BATCH, flush=True)
    os._exit(0)
os.waitpid(pid, 0)
"""
    )
    assert lines == ["True", "True"]
