"""The mold: it makes the plan, forks every role of it, and forks a role again when it dies.

    supervisor ==lifeline==> mold ==lifeline of stage 0==> fronts          ==> pipes on which nothing is ever written:
    supervisor <--Report---- mold ==lifeline of stage 1==> workers             the end of file means leave
                               ^---------Report------------ each role

Owns: the plan with its channels, the write ends of the lifelines, the list of posts. No threads, no client's socket.
Runs: one loop. It sleeps until the supervisor's lifeline ends, a role reports, a child dies, or something is due.
Order: stop, the dead, those who take too long, the missing, the next stage.

A stop (or the supervisor's death, which looks the same) goes by stages. The lifeline of stage 0 is closed; those
roles stop taking in and leave when what they took is done, so during that time a worker that dies is still replaced.
Then the plan closes what stage 1 has to see the end of, and the lifeline of stage 1 is closed. Who is left when the
time to drain is over is killed.

Not guaranteed: when the mold itself is killed all lifelines end at once, and the stages are not kept apart. A stop
that comes while the plan is made (the app is imported) is seen when it is made.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from math import inf
from os import close
from time import sleep

from poolctl.runtime.pool.finish import begin, finish
from poolctl.runtime.system import forked
from poolctl.supervision.fork import fork, reap
from poolctl.supervision.plan import Plan, Role
from poolctl.supervision.post import Post
from poolctl.supervision.reports import Report, channel, failure, receive, send
from poolctl.supervision.restart import EARLY_DEATHS, cause, when
from poolctl.supervision.role import play
from poolctl.supervision.signals import Signals, on_reopen

log = logging.getLogger("poolctl")

LAST = 1  # the last stage
LOOK = 0.5  # seconds between two looks at requests in hand, where they are bounded in time, and at a plugin's code
HUNG = 5.0  # seconds that a front may be in the code of a plugin
SAID = 0.1  # seconds that a front has to write where it hangs
FORCED = 1  # exit status: something in hand was lost
BOOT_FAILED = 3  # exit status: reported to the supervisor
STUMBLES = 100  # turns that may fail one right after the other; a mold that cannot do one any more has to be replaced
SPIN = 0.01  # seconds: what fails later than this after the last failure does not spin


def main(build: Callable[[], Plan], supervisor: socket.socket, lifeline: int, presence: int) -> int:
    """The whole life of a mold's process; answers its exit status."""
    begin()
    forked.hold({supervisor.fileno(), lifeline, presence}, only=True)
    try:
        plan = build()
    except BaseException as error:  # noqa: BLE001  # the user's code may raise anything; it is reported
        send(supervisor, failure(error))
        return BOOT_FAILED
    if threading.active_count() > 1:
        names = ", ".join(thread.name for thread in threading.enumerate() if thread is not threading.main_thread())
        log.warning(
            "the app started threads when it was imported (%s); workers do not have them: use preload: false", names
        )
    gc.collect()
    gc.freeze()  # what is shared with the roles stays shared: a collection writes to every object it looks at
    mold = Mold(plan, supervisor, lifeline, presence)
    status = mold.run()
    return finish(status, max(mold.left(), SAID))


class Mold:
    """The loop, and the steps it goes through in fixed order."""

    def __init__(self, plan: Plan, supervisor: socket.socket, lifeline: int, presence: int) -> None:
        self.plan = plan
        self.presence = presence
        self.posts = [Post(role) for role in plan.roles]
        self.supervisor, self.lifeline = supervisor, lifeline
        self.signals = Signals(signal.SIGCHLD, signal.SIGUSR1)
        self.reports, self.reporter = channel()
        self.readers, self.writers = map(list, zip(*(os.pipe() for _ in range(LAST + 1)), strict=True))
        self.ended = -1  # the last stage whose lifeline is closed
        self.deadline: float | None = None  # of a stop
        self.forced = False  # it is over, and everything was killed
        self.proven: set[int] = set()  # stages of which a role has been ready: their code can be loaded
        self.early = [0] * (LAST + 1)  # deaths before that, by stage
        self.announced = False
        self.stumbles = 0  # turns that failed one right after the other
        self.stumbled = 0.0  # when the last one did
        self.status = 0
        forked.hold({self.reports.fileno(), self.reporter.fileno(), *self.readers, *self.writers})

    def left(self) -> float:
        """Seconds that are left of a stop."""
        return 0.0 if self.deadline is None else self.deadline - time.monotonic()

    def run(self) -> int:
        """Keep the roles alive until it is time to leave; answers the exit status."""
        with self.signals, self.reports, self.reporter:
            while self.ended < LAST or any(post.pid for post in self.posts):
                try:
                    self._turn()
                except BaseException as error:  # noqa: BLE001  # a signal handler of a preloaded app may raise anywhere
                    self._stumble(error)
        return self.status

    def _turn(self) -> None:
        try:
            self._sleep()
        finally:
            now = time.monotonic()
            self._bury(now)
            self._end_overdue()
            self._end_hanging(now)
            self._fill(now)
            self._drain(now)

    def _stumble(self, error: BaseException) -> None:
        """A turn failed: go on. Raises the error when turns do nothing but fail."""
        forked.leave()
        now = time.monotonic()
        self.stumbles = self.stumbles + 1 if now - self.stumbled < SPIN else 0
        self.stumbled = now
        if self.stumbles > STUMBLES:
            raise error
        log.error("a turn of the mold failed; it goes on", exc_info=error)

    def _sleep(self) -> None:
        """Until something is to be done; a stop is noted here, because its event is seen here."""
        due = [post.due for post in self.posts if self._missing(post)]
        due.append(inf if self.deadline is None or self.forced else self.deadline)
        if self.plan.request is not None or self.plan.guards:
            due.append(time.monotonic() + LOOK)
        watched = [self.reports.fileno()] + ([self.lifeline] if self.deadline is None else [])
        events = self.signals.wait(watched, min(due) - time.monotonic())
        if signal.SIGUSR1 in self.signals.take():  # of SIGCHLD nothing is counted: who died is asked of the kernel
            self._reopen()
        if self.deadline is None and self.lifeline in events:
            self.deadline = time.monotonic() + self.plan.drain
            self._drain(time.monotonic())

    def _reopen(self) -> None:
        """The log's file, here and in all roles; this process first, so that what it forks has the new one."""
        if self.plan.reopen:
            self.plan.reopen()
            for post in self.posts:
                if post.pid and post.status is None:  # not reaped: the pid is still this one's
                    os.kill(post.pid, signal.SIGUSR1)

    def _missing(self, post: Post) -> bool:
        return not post.pid and post.role.stage > self.ended

    # The dead

    def _bury(self, now: float) -> None:
        holders = {post.pid: post for post in self.posts if post.pid}
        for post in holders.values():
            post.status = reap(post.pid)
        reports, _ = receive(self.reports)  # after the reaping: the last words of the dead are in it
        for report in reports:
            if report.pid not in holders:
                log.error("process %d, which is no role's but forked by one, failed: %s", report.pid, report.text)
            elif report.kind == "ready":
                self._ready(holders[report.pid], now)
            else:
                self._failed(holders[report.pid], report)
        for post in holders.values():
            if post.status is not None:
                self._died(post, post.status, now)

    def _ready(self, post: Post, now: float) -> None:
        post.ready = now
        self.proven.add(post.role.stage)
        self.plan.ready(post.role)
        if not self.announced and all(post.ready is not None for post in self.posts):
            self.announced = True
            send(self.supervisor, Report("ready"))

    def _failed(self, post: Post, report: Report) -> None:
        if post.role.stage in self.proven or self.deadline is not None:
            log.error("%s (pid %d) failed before it was ready: %s", post.name, post.pid, report.text)
        elif self.status != BOOT_FAILED:
            self._give_up(report)

    def _died(self, post: Post, status: int, now: float) -> None:
        stage, pid, was_ready, told = post.role.stage, post.pid, post.ready is not None, cause(status)
        age, served = post.leave(now)
        self.plan.died(post.role, pid)
        if stage <= self.ended:
            if status and not self.status:
                log.warning("%s (pid %d) %s while it drained", post.name, pid, told)
                self.status = FORCED
            return
        self.early[stage] += not was_ready
        if stage not in self.proven and self.early[stage] >= EARLY_DEATHS and self.deadline is None:
            text = f"{post.name} {told}; {self.early[stage]} processes of its kind ended before any was ready"
            self._give_up(Report("failed", text))
            return
        delay = post.policy.delay(served)
        post.due = now + delay
        log.warning("%s (pid %d) %s after %.1f s; it is started again %s", post.name, pid, told, age, when(delay))

    def _give_up(self, report: Report) -> None:
        """Nothing of this generation can work: tell the supervisor why, and leave nothing behind."""
        send(self.supervisor, report)
        self.status = BOOT_FAILED
        self._kill()

    def _kill(self) -> None:
        self.ended = LAST
        for post in self.posts:
            if post.pid and post.status is None:  # not reaped: the pid is still this one's
                os.kill(post.pid, signal.SIGKILL)

    # Those who take too long

    def _end_overdue(self) -> None:
        """Code that blocks cannot be interrupted, but its process can be ended; what is then told to its client is the
        plan's affair, when it is buried."""
        if self.plan.request is None:
            return
        for post in self.posts:
            if post.pid and post.status is None and not post.ended and (seconds := self.plan.overdue(post.role)):
                post.ended = True
                told = f"{post.name} (pid {post.pid}) has had a request in hand for {seconds:.1f} s"
                log.error("%s, and timeouts.request is %g s: killed", told, self.plan.request)
                os.kill(post.pid, signal.SIGKILL)

    def _end_hanging(self, now: float) -> None:
        """A front that does not come back from a plugin's code is asked where it is, then ended. The next generation
        takes the clients that come, and this one finishes what its workers have in hand.

        During a stop too, which would wait for it; but threads that are beside it have the time to drain.
        """
        if not self.plan.guards or self.plan.hanging() < HUNG:
            return
        stopping = self.deadline is not None
        for post in self.posts:
            front = post.role.stage == 0 and not (stopping and post.role.rows)
            if front and post.pid and post.status is None and not post.ended:
                self._end_front(post, stopping)
        if not stopping:
            self.deadline = now + self.plan.drain
            self._drain(now)

    def _end_front(self, post: Post, stopping: bool) -> None:
        post.ended = True
        os.kill(post.pid, signal.SIGUSR2)  # it writes its traceback to the log (see faulthandler)
        sleep(SAID)
        seconds = self.plan.hanging()
        told = f"{post.name} (pid {post.pid}) has been in the code of its plugin for {seconds:.1f} s: killed"
        if stopping:
            log.error("%s", told)
        else:
            send(self.supervisor, Report("hung", told))
        os.kill(post.pid, signal.SIGKILL)

    # The missing

    def _fill(self, now: float) -> None:
        for post in self.posts:
            if self._missing(post) and post.due <= now:
                try:
                    post.enter(fork(partial(self._become, post.role)), now)
                except OSError as error:
                    delay = max(post.policy.delay(0.0), post.policy.first)
                    post.due = now + delay
                    log.error("%s cannot be forked: %s; tried again %s", post.name, error, when(delay))

    def _become(self, role: Role) -> int:
        """In the new process: let go of all that is not the role's."""
        self.signals.close()
        self.supervisor.close()
        self.reports.close()
        close(self.lifeline)
        others = [reader for stage, reader in enumerate(self.readers) if stage not in (0, role.stage)]
        for descriptor in (*others, *self.writers[self.ended + 1 :], *(self.plan.owned - role.keeps)):
            close(descriptor)
        if self.plan.reopen:
            on_reopen(self.plan.reopen)
        reader, stop = self.readers[role.stage], self.readers[0]
        forked.hold({*role.keeps, reader, stop, self.reporter.fileno(), self.presence}, only=True)
        return play(role, reader, self.plan.drain, self.reporter, stop)

    # Leaving

    def _drain(self, now: float) -> None:
        """End the next stage when all before it have left, and everything when the time is over."""
        if self.deadline is None:
            return
        while self.ended < LAST and not any(post.pid and post.role.stage <= self.ended for post in self.posts):
            self.ended += 1
            if self.ended:
                self.plan.close_for(self.ended)
            close(self.writers[self.ended])
        if now >= self.deadline and not self.forced:
            self.forced = True
            self._force()

    def _force(self) -> None:
        left = [f"{post.name} (pid {post.pid})" for post in self.posts if post.pid]
        if left and self.status != BOOT_FAILED:
            log.warning("killed, still busy %g s after the stop: %s", self.plan.drain, ", ".join(left))
            self.status = FORCED
        self._kill()
