"""Ending the wait of a thread that sleeps in recvmsg, with real threads: in processes of their own, for the handler of
a signal belongs to a process."""

from __future__ import annotations

import subprocess
import sys

import pytest
from harness.machine import within

SLEEPER = """
import os, signal, sys, threading, time
from poolctl.runtime.system.channel import channel
from poolctl.runtime.system.interrupt import allow_interrupts, end_reads, interrupt

writer, reader = channel()
found, ready = [], threading.Event()

def work():
    ready.set()
    while message := reader.recvmsg(100)[0]:
        found.append(message)
    found.append(b"the end")

def asleep(thread):
    return open(f"/proc/self/task/{thread.native_id}/stat").read().rpartition(")")[2].split()[0] == "S"

def start():
    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    while not asleep(thread):
        time.sleep(0.001)
    return thread

def wake(thread):
    while thread.is_alive():
        interrupt(thread.ident)
        thread.join(0.02)
"""


def sleeper(script: str) -> str:
    """What a process prints that does this."""
    command = [sys.executable, "-c", SLEEPER + script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=within(30), check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_thread_that_sleeps_finds_the_end() -> None:
    script = """
allow_interrupts()
thread = start()
end_reads(reader.fileno())
wake(thread)
print(found)
"""
    assert sleeper(script) == "[b'the end']\n"


def test_others_that_read_the_same_channel_go_on() -> None:
    """Only the number has another meaning, in this process: what is sent stays for the others."""
    script = """
allow_interrupts()
thread, other = start(), os.dup(reader.fileno())
end_reads(reader.fileno())
wake(thread)
print(found, writer.send(b"x"), os.read(other, 10))
"""
    assert sleeper(script) == "[b'the end'] 1 b'x'\n"


def test_what_a_call_has_received_before_is_not_lost() -> None:
    """The change alone wakes nobody: a message that comes meanwhile is taken by the call that sleeps."""
    script = """
allow_interrupts()
thread = start()
end_reads(reader.fileno())
writer.send(b"in time")
wake(thread)
print(found)
"""
    assert sleeper(script) == "[b'in time', b'the end']\n"


@pytest.mark.parametrize("app", ["lambda number, frame: called.append(number)", "signal.SIG_IGN", "signal.SIG_DFL"])
def test_the_handler_of_the_app_stays_and_what_it_ignores_is_handled(app: str) -> None:
    script = f"""
called = []
signal.signal(signal.SIGURG, {app})
allow_interrupts()
thread = start()
end_reads(reader.fileno())
wake(thread)
print(found, bool(called))
"""
    assert sleeper(script) == f"[b'the end'] {'lambda' in app}\n"


def test_an_app_that_ignores_the_signal_later_leaves_with_the_next_message() -> None:
    """It is served, and then the end is found."""
    script = """
allow_interrupts()
signal.signal(signal.SIGURG, signal.SIG_IGN)
thread = start()
end_reads(reader.fileno())
for _ in range(5):
    interrupt(thread.ident)
    thread.join(0.02)
print(thread.is_alive())
writer.send(b"a task")
thread.join()
print(found)
"""
    assert sleeper(script) == "True\n[b'a task', b'the end']\n"


def test_a_child_that_the_app_forks_has_the_default_again() -> None:
    script = """
from poolctl.runtime.system import forked
forked.hold({reader.fileno()})
allow_interrupts()
if not (pid := os.fork()):
    os._exit(signal.getsignal(signal.SIGURG) != signal.SIG_DFL)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert sleeper(script) == "0\n"
