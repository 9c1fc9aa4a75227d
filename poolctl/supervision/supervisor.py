"""The supervisor: the first process, which keeps a generation running and never executes a line of user code.

    signals --> supervisor --fork--> mold (generation 1) --fork--> roles
                    |                mold (generation 2) ...        the next one, when a mold has died
                    +-- listening sockets: inherited by all and kept open, so no restart refuses a connection

Runs: one loop, no threads. It sleeps until a signal arrives, a mold reports, or something is due; then it handles, in
this order, signals, exited children, and missing children. The file is long because that one loop owns all of it.

Exit codes
    0    stopped; every request in flight was answered
    1    stopped, but a process had to be killed, or died, while draining
    3    the first generation could not start
    130  a second SIGINT, or 143, a second SIGTERM: killed without draining

A generation whose front hangs in plugin code retires: the next one starts beside it.

When a mold is killed its roles become orphans and drain without it, while the next generation serves. They are killed
when their time to drain is over, and a stop waits for them.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from typing import Any

from setproctitle import setproctitle

from poolctl.runtime.listen import server_stop
from poolctl.runtime.listen.listener import shut
from poolctl.supervision.control import Control
from poolctl.supervision.generation import Generation, Orphans
from poolctl.supervision.mold import BOOT_FAILED, FORCED, HUNG_SECONDS
from poolctl.supervision.plan import Plan
from poolctl.supervision.reports import Report
from poolctl.supervision.restart import EARLY_DEATHS, RestartPolicy, cause, when
from poolctl.supervision.signals import SUPERVISED, UNUSED, Signals

log = logging.getLogger("poolctl")

# seconds beyond the time to drain, after which the supervisor kills a mold that has not enforced it
MARGIN_SECONDS = 1.0
PEEK_SECONDS = 0.01  # seconds between checks for queued clients at the listening sockets, after a stop
UNIX_QUEUE_SECONDS = 0.5  # seconds after a stop, from which on the kernel queues no more clients at a busy unix socket

END_MESSAGES = {
    0: (logging.INFO, "%s stopped"),
    FORCED: (logging.WARNING, "%s stopped; unfinished requests were cut off"),
}


class Supervisor:
    """Runs a server until a signal stops it."""

    def __init__(
        self,
        name: str,
        build: Callable[[], Plan],
        listeners: Sequence[socket.socket],
        drain: float,
        announce: Callable[[], None],
        reopen: Callable[[], None] | None = None,
        prepare: Callable[[], None] | None = None,
        metrics: Callable[[], dict[str, Any]] | None = None,
        explain: Callable[[Report], str] | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            name: the topology's, for titles and log lines.
            build: makes a generation's plan; called in its mold, and may raise.
            listeners: open listening sockets; they stay open, and after a stop each is shut when its queue is empty.
            drain: seconds that a stop may take.
            announce: called once, when the first generation is ready.
            prepare: called before each generation is forked.
            metrics: returns what the generation is doing, for the control socket; None: no control socket.
            explain: returns the message for a failed first start; None: the report's own text.
            reopen: called for a SIGUSR1, which is then passed on to the mold; None: there is no log file to reopen.
        """
        self.reopen = reopen
        self.name, self.build, self.listeners, self.drain, self.announce = name, build, listeners, drain, announce
        self.prepare, self.metrics, self.explain = prepare, metrics, explain
        self.control: Control | None = None
        self.started = time.time()
        server_stop.reset()
        self.policy = RestartPolicy()
        self.generation: Generation | None = None
        self.number = 0  # of the last generation
        self.due = 0.0  # when to start the next generation, while there is none
        self.orphans: list[Orphans] = []
        self.retiring: list[Generation] = []  # generations whose front hung, which finish their requests in flight
        self.announced = False
        self.early = 0  # deaths without a report, before anything was ready
        self.failure: Report | None = None  # of the first generation
        self.stopping = False
        self.crowded = inf  # after a stop: until when new clients may join the queues
        self.admitting: list[socket.socket] = []  # after a stop: listening sockets that are not shut yet
        self.deadline = inf  # of a stop
        self.exit_code: int | None = None  # once it is known

    def run(self) -> int:
        """Serve until a signal stops the server. Returns the exit code."""
        setproctitle(f"poolctl: supervisor {self.name}")
        self.signals = Signals(*SUPERVISED)
        self.control = Control(self.name, self._status) if self.metrics else None
        try:
            with self.signals:
                while self.exit_code is None or self.generation or self.orphans or self.retiring:
                    self._sleep()
                    for number in self.signals.take():
                        self._handle_signal(number)
                    self._handle_exits()
                    self._shut_listeners()
                    self._start_missing()
                # a failed start has given its reason, and a second signal waits for nothing
                if self.exit_code in END_MESSAGES:
                    log.log(*END_MESSAGES[self.exit_code], self.name)
                return self.exit_code
        finally:
            self._kill()  # nothing is left to kill, unless an error ended the loop
            if self.control:
                self.control.close()

    def _status(self) -> dict[str, Any]:
        """Return what clients of the control socket receive."""
        state = "stopping" if self.stopping else "running" if self.generation and self.generation.ready else "starting"
        assert self.metrics is not None  # otherwise there is no control socket
        return {
            "name": self.name,
            "pid": os.getpid(),
            "state": state,
            "generation": self.number,
            "retiring": len(self.retiring),
            "uptime_seconds": round(time.time() - self.started, 1),
            **self.metrics(),
        }

    def _sleep(self) -> None:
        now = time.monotonic()
        due = [orphans.deadline for orphans in self.orphans] + [self.deadline]
        if self.generation is None and self.exit_code is None:
            due.append(self.due)
        if self.admitting:
            due.append(now + PEEK_SECONDS)
        watched = [orphans.presence for orphans in self.orphans]
        if self.generation and self.generation.reader.fileno() >= 0:
            watched.append(self.generation.reader.fileno())
        if self.control and self.control.fileno() >= 0:
            watched.append(self.control.fileno())
            if self.control.fileno() in self.signals.wait(watched, min(due) - now):
                self.control.answer()
            return
        self.signals.wait(watched, min(due) - now)

    # Signals

    def _handle_signal(self, number: signal.Signals) -> None:
        if number == signal.SIGCHLD:
            return  # it only wakes the loop: waitpid says which children exited
        if number == signal.SIGUSR1:
            self._reopen()
        elif number in UNUSED:
            log.warning("%s ignored: %s", number.name, UNUSED[number])
        elif self.stopping:
            log.warning("%s while draining: stopping at once", number.name)
            self.exit_code = 128 + number
            self._kill()
        else:
            log.info("%s: draining for up to %g s", number.name, self.drain)
            self._stop()

    def _reopen(self) -> None:
        """Reopen the log file, in this process first: it creates the file and gives it to the user of the others."""
        if self.reopen is None:
            log.info("SIGUSR1 ignored: there is no log file to reopen")
            return
        self.reopen()
        if self.generation:  # not reaped, so the pid is still the mold's
            os.kill(self.generation.pid, signal.SIGUSR1)

    def _stop(self) -> None:
        self.stopping = True
        server_stop.announce()
        now = time.monotonic()
        self.deadline = now + self.drain + MARGIN_SECONDS
        self.crowded = now + UNIX_QUEUE_SECONDS
        self.admitting = list(self.listeners)
        if self.generation:
            self.generation.end()
        elif self.exit_code is None:
            self.exit_code = 0

    def _shut_listeners(self) -> None:
        """After a stop: shut every listening socket whose queue is empty, so that new clients are refused.

        The process that accepts the last queued client shuts the socket; this is for sockets whose workers are all
        busy. Clients already queued are still served, and shutting the socket would reset them. Clients that connect
        while all workers are busy join the queue; at a unix socket, where no filter can keep them out, the backlog is
        set to 0.
        """
        for listener in list(self.admitting):
            if shut(listener):
                self.admitting.remove(listener)
            elif listener.family == socket.AF_UNIX and time.monotonic() >= self.crowded:
                listener.listen(0)
        if time.monotonic() >= self.crowded:
            self.crowded = inf

    def _kill(self) -> None:
        for generation in [*self.retiring, *([self.generation] if self.generation else [])]:
            generation.kill()
        soon = time.monotonic() + MARGIN_SECONDS
        for orphans in self.orphans:
            orphans.kill()
        self.orphans = [replace(orphans, deadline=min(soon, orphans.deadline)) for orphans in self.orphans]

    # Exits

    def _handle_exits(self) -> None:
        dead = dict(self._reap())
        generation = self.generation
        if generation:
            for report in generation.reports():  # after reaping, so that the last report is among them
                self._handle_report(generation, report)
            if generation.pid in dead and generation is self.generation:
                self._died(generation, dead[generation.pid])
        now = time.monotonic()
        for retired in [each for each in self.retiring if each.pid in dead]:
            self.retiring.remove(retired)
            late = min(now + self.drain + MARGIN_SECONDS, self.deadline)
            self.orphans.append(retired.orphans(late if dead[retired.pid] else now))
        if now >= self.deadline and self.generation:
            log.error("%s was still running %g s after the stop; killed", self.name, self.drain + MARGIN_SECONDS)
            self.exit_code, self.deadline = FORCED, inf
            self._kill()
        for orphans in [orphans for orphans in self.orphans if now >= orphans.deadline or not orphans.alive()]:
            orphans.kill()
            os.close(orphans.presence)
            self.orphans.remove(orphans)

    def _reap(self) -> list[tuple[int, int]]:
        """Return the pid and exit code of every child that has ended, other processes' orphans included: the first
        process of a container inherits those."""
        dead: list[tuple[int, int]] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return dead
            if not pid:
                return dead
            dead.append((pid, os.waitstatus_to_exitcode(status)))

    def _handle_report(self, generation: Generation, report: Report) -> None:
        if report.kind == "failed":
            if self.announced or self.stopping:
                log.error("generation %d of %s failed to start: %s", generation.number, self.name, report.text)
            else:
                self.failure = report
            return
        if report.kind == "hung":
            self._retire(generation, report)
            return
        generation.became_ready()
        log.info("generation %d of %s is ready", generation.number, self.name)
        if not self.announced:
            self.announced = True
            self.announce()

    def _retire(self, generation: Generation, report: Report) -> None:
        """Let a generation finish its requests without its front, while the next one starts.

        The time for which the front hung does not count as service, so a generation whose front always hangs dies young
        each time.
        """
        now = time.monotonic()
        self.retiring.append(generation)
        self.generation = None
        self.early += not self.announced
        if self.early >= EARLY_DEATHS and not self.stopping:
            text = f"{report.text}; {self.early} generations ended before anything was ready"
            self._give_up(Report("failed", text, plain=True))
            return
        delay = self.policy.delay(0.0 if generation.ready is None else max(0.0, now - generation.ready - HUNG_SECONDS))
        self.due = now + delay
        log.error("%s; starting the next generation %s", report.text, when(delay))

    def _died(self, generation: Generation, status: int) -> None:
        self.generation = None
        now = time.monotonic()
        late = min(now + self.drain + MARGIN_SECONDS, self.deadline)
        self.orphans.append(generation.orphans(late if status else now))  # 0: its roles exited before it did
        if self.exit_code is not None:
            self._kill()
        elif self.stopping:
            self.exit_code = FORCED if status else 0
            if status < 0:
                log.warning("the mold of %s %s while draining; its roles drain without it", self.name, cause(status))
        elif self.failure:
            self._give_up(self.failure)
        else:
            self._restart(generation, status, now)

    def _restart(self, generation: Generation, status: int, now: float) -> None:
        self.early += not self.announced
        if self.early >= EARLY_DEATHS:
            text = f"the mold {cause(status)}; {self.early} molds ended before anything was ready"
            self._give_up(Report("failed", text))
            return
        delay = self.policy.delay(0.0 if generation.ready is None else now - generation.ready)
        self.due = now + delay
        ended = f"mold {self.name} (generation {generation.number}, pid {generation.pid}) {cause(status)}"
        log.warning("%s after %.1f s; starting the next generation %s", ended, now - generation.born, when(delay))

    def _give_up(self, failure: Report) -> None:
        first = "" if failure.plain else "cannot load the app:\n"
        explained = self.explain(failure) if self.explain else ""
        sys.stderr.write(explained or f"{first}{failure.text}\n")
        sys.stderr.flush()
        self.exit_code = BOOT_FAILED
        self._kill()

    # Starts

    def _close_inherited(self) -> None:
        """In a new mold: close what belongs to the supervisor alone."""
        self.signals.close()
        if self.control:
            self.control.close_inherited()
        for retired in self.retiring:
            retired.close_inherited()
        for orphans in self.orphans:
            os.close(orphans.presence)

    def _start_missing(self) -> None:
        if self.generation or self.exit_code is not None or time.monotonic() < self.due:
            return
        self.number += 1
        if self.prepare:
            self.prepare()
        try:
            self.generation = Generation(self.name, self.number, self.build, self._close_inherited)
        except OSError as error:
            delay = max(self.policy.delay(0.0), self.policy.first)
            self.due = time.monotonic() + delay
            log.error("cannot fork the mold of %s: %s; retrying %s", self.name, error, when(delay))
