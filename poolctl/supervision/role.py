"""Inside a role's process: from the fork to its exit.

Open descriptors: stdio, the role's share of the plan's, the read ends of its stage's lifeline, of the first stage's and
of a worker's own pipe, its end of its channel with the mold, the write end of its generation's presence pipe, and until
the role is ready the channel for its report. The mold's code has closed all others before `play` is called.
"""

from __future__ import annotations

import logging
import random
import socket
import threading
from collections.abc import Callable
from functools import partial

from setproctitle import setproctitle

from poolctl.runtime.lifeline import Life, Take
from poolctl.runtime.pool.finish import begin, finish
from poolctl.runtime.serving.last_words import log_threads
from poolctl.runtime.system import forked
from poolctl.supervision.plan import Plan, Role
from poolctl.supervision.reports import Report, failure, send

log = logging.getLogger("poolctl")
CLEANUP_SECONDS = 5.0  # seconds that a failed role has to clean up before its replacement can start


class Ready:
    """Reports to the mold, once, that this role can serve, and closes the channel."""

    def __init__(self, reporter: socket.socket) -> None:
        self._reporter = reporter
        self.reported = False

    def __call__(self) -> None:
        """Called by the role's main thread.

        Raises:
            RuntimeError: called a second time.
        """
        if self.reported:
            raise RuntimeError("life.ready() was called twice: a role becomes ready once")
        self.reported = True
        send(self._reporter, Report("ready"))  # if the mold is gone the lifeline has ended too, and the role stops
        forked.release({self._reporter.fileno()})
        self._reporter.close()

    def failed(self, error: BaseException) -> None:
        """Report a failure. The mold decides what follows; a failure after the role was ready is only logged."""
        report = failure(error)
        if self.reported or not send(self._reporter, report):
            log.error("the role failed: %s", report.text)


def play(
    role: Role,
    lifeline: int,
    plan: Plan,
    reporter: socket.socket,
    stop: int = -1,
    *,
    leave: int = -1,
    place: int = -1,
    channel: int = -1,
) -> int:
    """Run the role until its lifeline ends, or it has left. ``stop``: the lifeline of the first stage; ``leave``,
    ``place``, ``channel``: see Life. Returns the exit status."""
    setproctitle(role.title)
    threading.current_thread().name = role.name
    random.seed()  # all roles are copies of one process
    begin()
    ready = Ready(reporter)
    life = Life(lifeline, plan.drain, ready, stop, leave, place, channel)
    life.change_by(partial(prepare, plan, life))
    try:
        if role.rows:
            life.when_ended(log_threads)
        role.run(life)
    except BaseException as error:  # noqa: BLE001  # SystemExit too: an app must not end its worker silently
        forked.leave()
        ready.failed(error)
        return finish(1, min(life.drain, CLEANUP_SECONDS))
    return finish(0, life.drain)  # an upper bound: the time to drain began when the lifeline ended


def prepare(plan: Plan, life: Life, change: bytes) -> Take:
    """Prepare new values of the plan in this process (Plan.prepare), whose time to drain may be one of them."""
    take = plan.prepare(change)

    def take_here(done: Callable[[], None]) -> None:
        take(done)
        life.drain_for(plan.drain)

    return take_here
