"""What a child of the app has of poolctl's descriptors, in a process of its own, because the hook is the process's."""

from __future__ import annotations

import subprocess
import sys

from harness.machine import within

SCRIPT = """
import os, signal, socket, sys
from poolctl.runtime.system import forked

def own(number, frame): ...

class Holder:
    def descriptors(self):
        return [held]

fixed, held, others = (os.open("/dev/zero", os.O_RDONLY) for _ in range(3))
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
accepted, _ = listener.accept()
holder, row = Holder(), memoryview(bytearray(8))
forked.hold([fixed])
forked.register(holder)
forked.register_listener(listener)
forked.register_row(row)
forked.OWN_SIGNALS.add(own)
signal.signal(signal.SIGTERM, own)

def is_null(fd):
    return os.fstat(fd).st_rdev == os.stat("/dev/null").st_rdev

def released():
    try:
        row[0]
    except ValueError:
        return True
    return False

def look():
    found = [is_null(fd) for fd in (fixed, held, accepted.fileno(), others, client.fileno())]
    print(*map(int, [*found, released(), signal.getsignal(signal.SIGTERM) is not own]), flush=True)

for fork in (forked.fork, os.fork):
    pid = fork()
    if not pid:
        look()
        forked.leave()
        os._exit(3)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), int(forked.seen()), flush=True)
look()
"""


def test_a_child_of_the_app_has_nothing_of_poolctls() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True, timeout=within(30), check=True
    )
    own, after_own, apps, after_apps, parent = done.stdout.splitlines()
    assert own == parent == "0 0 0 0 0 0 0"
    assert apps == "1 1 1 0 0 1 1"  # its own file and its connection to elsewhere stay
    assert after_own == "3 0"  # ``leave`` does nothing in a process of poolctl's own
    assert after_apps == "0 1"
