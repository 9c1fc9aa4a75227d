"""The first process of a server after an upgrade, where somebody waits for it: a shell, a container, an init script.

    whoever started it --signals--> first process --signals--> supervisor, perhaps the third
                       <--exit code--             <--link-----  its pid, and its exit code at the end

An upgrade makes another process the supervisor. A service manager that takes notice of that (systemd) needs the first
one no more. All others would take its end for the end of the server. So it stays: it passes on signals, adopts and
reaps the orphans of the server, as process 1 of a container does anyway, and ends with the supervisor's exit code. It
has no socket of the server, and runs no code of the user. If it is killed the server drains, as when a supervisor is
killed: whoever started it may start another one.
"""

from __future__ import annotations

import contextlib
import os
import signal
from math import inf

from setproctitle import setproctitle

from poolctl.supervision.handover import Link
from poolctl.supervision.signals import Signals

KILLED = 128 + signal.SIGKILL  # exit code: the supervisor ended without one


def accompany(name: str, supervisor: int, link: Link, signals: Signals) -> int:
    """Run the first process until the supervisor has ended. ``link``: to the supervisor, whichever process that will
    be. Returns the exit code."""
    setproctitle(f"poolctl: first process {name}")
    code = KILLED
    while not link.ended:
        signals.wait(link.watched, inf)
        for message in link.receive():
            if message.kind == "process":
                supervisor = int(message.values["pid"])
            elif message.kind == "exit":
                code = int(message.values["code"])
        for number in signals.take():
            if number != signal.SIGCHLD and not link.ended:  # then the pid may be another process's
                with contextlib.suppress(ProcessLookupError):
                    os.kill(supervisor, number)
        with contextlib.suppress(ChildProcessError):
            while not link.ended and os.waitpid(-1, os.WNOHANG)[0]:
                continue
    with contextlib.suppress(ChildProcessError):  # it has been reaped
        os.waitpid(supervisor, 0)  # its descriptors are closed, so it is about to end
    return code
