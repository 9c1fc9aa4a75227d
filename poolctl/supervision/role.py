"""Inside a role's process: from the fork to its last breath.

Held: stdio, the role's share of the plan's descriptors, the read ends of its stage's lifeline and of the first
stage's, the write end of its generation's presence, and until it is ready the channel for its report. The mold has
closed everything else before it gets here.
"""

from __future__ import annotations

import logging
import random
import socket
import threading

from setproctitle import setproctitle

from poolctl.runtime.lifeline import Life
from poolctl.runtime.pool.finish import begin, finish
from poolctl.runtime.system import forked
from poolctl.supervision.plan import Role
from poolctl.supervision.reports import Report, failure, send

log = logging.getLogger("poolctl")
FAILED = 5.0  # seconds that a role which failed has for its end: somebody is to take its place


class Ready:
    """Tells the mold, once, that this role can serve; its channel is closed after that."""

    def __init__(self, reporter: socket.socket) -> None:
        self._reporter = reporter
        self.told = False

    def __call__(self) -> None:
        """Called by the role's main thread.

        Raises:
            RuntimeError: called a second time.
        """
        if self.told:
            raise RuntimeError("a role is ready once: life.ready() was called before")
        self.told = True
        send(self._reporter, Report("ready"))  # with the mold gone the lifeline has ended as well, and says all
        forked.release({self._reporter.fileno()})
        self._reporter.close()

    def failed(self, error: BaseException) -> None:
        """The mold decides what a failure means; one that comes after the start is just told to the log."""
        report = failure(error)
        if self.told or not send(self._reporter, report):
            log.error("the role failed: %s", report.text)


def play(role: Role, lifeline: int, drain: float, reporter: socket.socket, stop: int = -1) -> int:
    """Run the role until its lifeline ends; answers its exit status. ``stop``: the lifeline of the first stage."""
    setproctitle(role.title)
    threading.current_thread().name = role.name
    random.seed()  # all roles are copies of one process
    begin()
    ready = Ready(reporter)
    try:
        role.run(Life(lifeline, drain, ready, stop))
    except BaseException as error:  # noqa: BLE001  # SystemExit too: the user's app may not end its worker unseen
        forked.leave()
        ready.failed(error)
        return finish(1, min(drain, FAILED))
    return finish(0, drain)  # at most: the lifeline has ended before, and its time is over first
