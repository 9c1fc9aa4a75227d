"""The end of a role: in processes of their own, because it ends them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from harness.machine import within

ROLE = """
import logging, os, sys, time
from poolctl.runtime.lifeline import Life
logging.basicConfig(format="%(message)s")
reader, writer = os.pipe()
life = Life(reader, 0.05, lambda: None)
"""


def role(script: str) -> tuple[int, str]:
    """(exit status, log) of a role that does this."""
    command = [sys.executable, "-c", ROLE + script]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=within(30), check=False)
    return done.returncode, done.stderr


def test_a_stuck_role_ends_when_its_time_to_drain_is_over() -> None:
    status, log = role("life.enforce(); os.close(writer)\nwhile True: time.sleep(1)")
    assert status == 1
    assert "still busy 0.05 s after the stop" in log


def test_a_role_has_no_time_to_keep_before_the_stop() -> None:
    status, log = role("life.enforce(); time.sleep(0.2); os._exit(7)")  # longer than the drain
    assert (status, log) == (7, "")


def test_a_thread_that_raises_ends_its_role() -> None:
    """Otherwise a pool would shrink unseen."""
    status, log = role("life.thread(lambda: 1 / 0, 'one'); time.sleep(60)")
    assert status == 1
    assert "a thread of the role failed" in log
    assert "ZeroDivisionError" in log


def test_a_thread_that_ends_does_not() -> None:
    assert role("life.thread(lambda: None, 'one').join(); os._exit(7)") == (7, "")


LEAVES = """
leaves, tell = os.pipe()
life = Life(reader, 0.05, lambda: None, leave=leaves)
calls = []
"""


def test_who_is_to_leave_is_called_until_it_has_left() -> None:
    script = """
life.when_leaving(lambda: (calls.append(1), os._exit(7) if len(calls) > 2 else None))
life.enforce()
time.sleep(0.2)
print(calls, file=sys.stderr)
os.write(tell, b"x"); os.close(tell)
while True: time.sleep(1)
"""
    assert role(LEAVES + script) == (7, "[]\n")


def test_who_says_so_only_when_it_is_to_leave_already() -> None:
    """Its app was imported meanwhile; and its call comes in another thread than its own."""
    script = """
import threading
life.enforce()
os.write(tell, b"x"); os.close(tell)
time.sleep(0.2)
here = threading.get_ident()
life.when_leaving(lambda: os._exit(7 if threading.get_ident() != here else 8))
while True: time.sleep(1)
"""
    assert role(LEAVES + script) == (7, "")


def test_one_that_leaves_and_is_stuck_ends_when_its_mold_is_dead() -> None:
    script = """
life.when_leaving(lambda: calls.append(1))
life.enforce()
os.write(tell, b"x"); os.close(tell)
while not calls: time.sleep(0.01)
os.close(writer)
while True: time.sleep(1)
"""
    status, log = role(LEAVES + script)
    assert status == 1
    assert "still busy 0.05 s after the stop" in log


def test_a_call_that_finds_no_descriptor_is_repeated() -> None:
    script = """
def leave():
    calls.append(1)
    if len(calls) > 3:
        os._exit(7)
    raise OSError(24, "Too many open files")

life.when_leaving(leave)
life.enforce()
os.write(tell, b"x"); os.close(tell)
while True: time.sleep(1)
"""
    assert role(LEAVES + script) == (7, "cannot leave yet: [Errno 24] Too many open files\n")


def test_one_whose_mold_dies_does_not_leave_what_it_shares_to_others() -> None:
    """All pipes end at once, in any order."""
    script = """
life.when_leaving(lambda: os._exit(8))
life.enforce()
os.close(tell)
time.sleep(0.2)
os.close(writer)
while True: time.sleep(1)
"""
    status, log = role(LEAVES + script)
    assert status == 1
    assert "still busy 0.05 s after the stop" in log


ENDED = """
import signal, threading
asked, asks = os.pipe()
life = Life(reader, 0.05, lambda: None, channel=asked)
def describe():
    os.write(2, b"one is left\\n")
    return found
life.when_ended(describe)
"""


def test_a_role_that_is_to_end_describes_itself_and_does() -> None:
    status, log = role(ENDED + "found = 1; life.enforce(); os.write(asks, bytes(9))\nwhile True: time.sleep(1)")
    assert (status, log) == (-9, "one is left\n")


def test_a_role_that_finds_no_request_writes_its_bare_stacks() -> None:
    status, log = role(ENDED + "found = 0; life.enforce(); os.write(asks, bytes(9))\nwhile True: time.sleep(1)")
    assert status == -9
    assert "no request was found" in log
    assert 'File "<string>"' in log


def test_a_description_that_fails_does_not_keep_a_role() -> None:
    status, log = role(ENDED + "life.enforce(); os.write(asks, bytes(9))\nwhile True: time.sleep(1)")
    assert status == -9
    assert "NameError" in log


def test_the_end_of_the_mold_is_not_an_order_to_end() -> None:
    status, log = role(ENDED + "found = 1; life.enforce(); os.close(asks); time.sleep(0.2); os._exit(7)")
    assert (status, log) == (7, "")


def test_a_role_whose_time_is_over_describes_itself_once() -> None:
    script = "found = 1; life.enforce(); os.close(writer); time.sleep(0.04); os.write(asks, bytes(9))"
    status, log = role(ENDED + script + "\nwhile True: time.sleep(1)")
    assert status in (1, -9)
    assert log.count("one is left") == 1


CHANGES = """
import socket, struct
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
life = Life(reader, 0.05, lambda: None, channel=theirs.fileno())
def say(word, number, text=b""):
    ours.send(struct.pack("<BQ", word, number) + text)
def hear():
    message = ours.recv(4096)
    return (*struct.unpack_from("<BQ", message), message[9:])
taken = []
def prepare(change):
    if change == b"bad":
        raise ValueError("no such value")
    def take(done):
        taken.append(change)
        done()
    return take
life.change_by(prepare)
life.enforce()
"""


def test_new_values_are_prepared_and_then_taken() -> None:
    script = """
say(1, 5, b"new")
assert hear() == (1, 5, b"")
assert taken == []
say(2, 5)
assert hear() == (2, 5, b"")
assert taken == [b"new"]
say(2, 5)  # again: there is nothing left to take
say(1, 6, b"bad")
assert hear() == (1, 6, b"ValueError: no such value")
say(2, 6)
say(1, 7, b"newer")
say(2, 6)  # of a change that was given up
say(2, 7)
assert (hear(), hear()) == ((1, 7, b""), (2, 7, b""))
assert taken == [b"new", b"newer"]
os._exit(7)
"""
    status, log = role(CHANGES + script)
    assert (status, log) == (7, "")


def test_a_role_that_takes_no_values_says_so() -> None:
    script = "life._prepare = None\nsay(1, 5)\nassert hear() == (1, 5, b'this role takes no new values')\nos._exit(7)"
    status, log = role(CHANGES + script)
    assert (status, log) == (7, "")


def test_a_signal_writes_the_bare_stacks_while_the_interpreter_is_held() -> None:
    before = "import faulthandler; faulthandler.register(signal.SIGUSR2); signal.signal(signal.SIGUSR2, print)\n"
    script = "found = 1; life.enforce(); os.kill(os.getpid(), signal.SIGUSR2); os._exit(7)"
    status, log = role(ENDED + before + script)
    assert status == 7
    assert "most recent call first" in log


DRAINS = """
stop, stopper = os.pipe()
leaves, tell = os.pipe()
life = Life(reader, 5.0, lambda: None, stop=stop, leave=leaves)
life.when_draining(lambda: os._exit(7))
"""


@pytest.mark.parametrize("end", ["os.close(writer)", "os.close(stopper)", "os.write(tell, b'x')"])
def test_whatever_begins_the_drain_of_a_process_is_heard_of(end: str) -> None:
    """Its lifeline, the stop of a server whose front drains first, and an order to leave alone."""
    assert role(f"{DRAINS}life.enforce(); time.sleep(0.1); {end}; time.sleep(60)") == (7, "")


def test_nothing_else_is() -> None:
    assert role(f"{DRAINS}life.enforce(); os.close(tell); time.sleep(0.2); os._exit(8)") == (8, "")


def test_who_asks_late_hears_of_it_at_once() -> None:
    script = """
life.when_draining(lambda: heard.append(1))
heard = []
life.enforce()
os.close(writer)
while not heard: time.sleep(0.01)
life.when_draining(lambda: os._exit(7))
os._exit(8)
"""
    assert role(script) == (7, "")
