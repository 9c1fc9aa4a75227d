"""The supervisor: the first process, which keeps a generation alive and never runs a line of the user's.

    signals --> supervisor --fork--> mold (generation 1) --fork--> roles
                    |                mold (generation 2) ...        the next one, when a mold has died
                    +-- listening sockets: inherited by all, closed by nobody, so no restart refuses a connection

Runs: one loop, no threads. It sleeps until a signal comes, a mold reports, or something is due; then, always in this
order: signals, the dead, the missing.

Exit codes
    0    stopped, everything in hand was answered
    1    stopped, but something had to be killed, or died, while it drained
    3    the first generation could not start
    130  a second SIGINT, or 143, a second SIGTERM: killed at once

A generation whose front hangs in a plugin retires: the next one starts beside it.

The orphans of a killed mold drain by themselves while the next generation serves. They are killed when their time is
over, and a stop waits for them.
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
from poolctl.supervision.generation import Generation, Remains
from poolctl.supervision.mold import HUNG
from poolctl.supervision.plan import Plan
from poolctl.supervision.reports import Report
from poolctl.supervision.restart import EARLY_DEATHS, RestartPolicy, cause, when
from poolctl.supervision.signals import SUPERVISED, UNUSED, Signals

log = logging.getLogger("poolctl")

MARGIN = 1.0  # seconds more than the drain: the mold keeps the time, this is for a mold that cannot
PEEK = 0.01  # seconds between two looks whether somebody waits at a listening socket, after a stop
CROWD = 0.5  # seconds after which the kernel is to admit nobody more where somebody still waits

FORCED = 1
BOOT_FAILED = 3
ENDS = {0: (logging.INFO, "%s stopped"), FORCED: (logging.WARNING, "%s stopped; unfinished requests were cut off")}


class Supervisor:
    """Runs a server until it is told to stop."""

    def __init__(
        self,
        name: str,
        build: Callable[[], Plan],
        listeners: Sequence[socket.socket],
        drain: float,
        announce: Callable[[], None],
        reopen: Callable[[], None] | None = None,
        prepare: Callable[[], None] | None = None,
        figures: Callable[[], dict[str, Any]] | None = None,
        explain: Callable[[Report], str] | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            name: the topology's, for titles and log lines.
            build: makes a generation's plan; called in its mold, and may raise.
            listeners: listening sockets, open; they stay open, and after a stop each is shut when nobody waits there.
            drain: seconds that a stop may take.
            announce: called once, when the first generation is ready.
            prepare: called before each generation is forked.
            figures: what its generation is doing, for who asks at the control socket; None: there is none.
            explain: the words for a failure of the first start; None: those of its report.
            reopen: called for a SIGUSR1, which the molds then get too; None where there is no file to open again.
        """
        self.reopen = reopen
        self.name, self.build, self.listeners, self.drain, self.announce = name, build, listeners, drain, announce
        self.prepare, self.figures, self.explain = prepare, figures, explain
        self.control: Control | None = None
        self.started = time.time()
        server_stop.reset()
        self.policy = RestartPolicy()
        self.generation: Generation | None = None
        self.number = 0  # of the last generation
        self.due = 0.0  # when to start the next, while there is none
        self.remains: list[Remains] = []
        self.retiring: list[Generation] = []  # whose front hung: they finish what they have in hand
        self.announced = False
        self.early = 0  # deaths without a report, before anything was ready
        self.failure: Report | None = None  # of the first generation
        self.stopping = False
        self.crowded = inf  # after a stop: until when whoever still comes may join those who wait
        self.admitting: list[socket.socket] = []  # after a stop: listening sockets that are not shut yet
        self.deadline = inf  # of a stop
        self.verdict: int | None = None  # the exit code, once it is sure

    def run(self) -> int:
        """Serve until a signal says stop; answers the exit code."""
        setproctitle(f"poolctl: supervisor {self.name}")
        self.signals = Signals(*SUPERVISED)
        self.control = Control(self.name, self._about) if self.figures else None
        try:
            with self.signals:
                while self.verdict is None or self.generation or self.remains or self.retiring:
                    self._sleep()
                    for number in self.signals.take():
                        self._obey(number)
                    self._bury()
                    self._shut()
                    self._fill()
                if self.verdict in ENDS:  # a failed start has given its reason, a second signal waits for nothing
                    log.log(*ENDS[self.verdict], self.name)
                return self.verdict
        finally:
            self._kill()  # nothing is left, unless an error ends this loop
            if self.control:
                self.control.close()

    def _about(self) -> dict[str, Any]:
        """For who asks."""
        state = "stopping" if self.stopping else "running" if self.generation and self.generation.ready else "starting"
        assert self.figures is not None  # only then there is a control socket
        return {
            "name": self.name,
            "pid": os.getpid(),
            "state": state,
            "generation": self.number,
            "retiring": len(self.retiring),
            "uptime_seconds": round(time.time() - self.started, 1),
            **self.figures(),
        }

    def _sleep(self) -> None:
        now = time.monotonic()
        due = [remains.deadline for remains in self.remains] + [self.deadline]
        if self.generation is None and self.verdict is None:
            due.append(self.due)
        if self.admitting:
            due.append(now + PEEK)
        watched = [remains.presence for remains in self.remains]
        if self.generation and self.generation.reader.fileno() >= 0:
            watched.append(self.generation.reader.fileno())
        if self.control and self.control.fileno() >= 0:
            watched.append(self.control.fileno())
            if self.control.fileno() in self.signals.wait(watched, min(due) - now):
                self.control.answer()
            return
        self.signals.wait(watched, min(due) - now)

    # Signals

    def _obey(self, number: signal.Signals) -> None:
        if number == signal.SIGCHLD:
            return  # who died is asked of the kernel
        if number == signal.SIGUSR1:
            self._reopen()
        elif number in UNUSED:
            log.warning("%s: %s; nothing was changed", number.name, UNUSED[number])
        elif self.stopping:
            log.warning("%s again: ending at once", number.name)
            self.verdict = 128 + number
            self._kill()
        else:
            log.info("%s: draining for up to %g s", number.name, self.drain)
            self._stop()

    def _reopen(self) -> None:
        """Here first: it makes the file, and gives it to the user that the others are."""
        if self.reopen is None:
            log.info("SIGUSR1: there is no log file that could be opened again")
            return
        self.reopen()
        if self.generation:  # not reaped: the pid is still this one's
            os.kill(self.generation.pid, signal.SIGUSR1)

    def _stop(self) -> None:
        self.stopping = True
        server_stop.announce()
        now = time.monotonic()
        self.deadline = now + self.drain + MARGIN
        self.crowded = now + CROWD
        self.admitting = list(self.listeners)
        if self.generation:
            self.generation.end()
        elif self.verdict is None:
            self.verdict = 0

    def _shut(self) -> None:
        """After a stop: refuse newcomers at every listening socket where nobody waits any more.

        The process that accepts the last client shuts the socket; this is for sockets whose workers are all busy.
        Clients that have connected are still served: shutting the socket would reset them. A client that comes while
        all workers are busy waits in the same queue; at a unix socket, which no filter closes, the kernel admits none.
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
        soon = time.monotonic() + MARGIN
        for remains in self.remains:
            remains.kill()
        self.remains = [replace(remains, deadline=min(soon, remains.deadline)) for remains in self.remains]

    # The dead

    def _bury(self) -> None:
        dead = dict(self._reap())
        generation = self.generation
        if generation:
            for report in generation.reports():  # after the reaping: its last words are in it
                self._hear(generation, report)
            if generation.pid in dead and generation is self.generation:
                self._died(generation, dead[generation.pid])
        now = time.monotonic()
        for retired in [each for each in self.retiring if each.pid in dead]:
            self.retiring.remove(retired)
            late = min(now + self.drain + MARGIN, self.deadline)
            self.remains.append(retired.remains(late if dead[retired.pid] else now))
        if now >= self.deadline and self.generation:
            log.error("killed: still there %g s after the stop", self.drain + MARGIN)
            self.verdict, self.deadline = FORCED, inf
            self._kill()
        for remains in [remains for remains in self.remains if now >= remains.deadline or not remains.alive()]:
            remains.kill()
            os.close(remains.presence)
            self.remains.remove(remains)

    def _reap(self) -> list[tuple[int, int]]:
        """Every child that has ended: as the first process of a container it inherits the orphans of all others."""
        dead: list[tuple[int, int]] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return dead
            if not pid:
                return dead
            dead.append((pid, os.waitstatus_to_exitcode(status)))

    def _hear(self, generation: Generation, report: Report) -> None:
        if report.kind == "failed":
            if self.announced or self.stopping:
                log.error("generation %d of %s cannot start: %s", generation.number, self.name, report.text)
            else:
                self.failure = report
            return
        if report.kind == "hung":
            self._retire(generation, report)
            return
        generation.ready = time.monotonic()
        log.info("generation %d of %s is ready", generation.number, self.name)
        if not self.announced:
            self.announced = True
            self.announce()

    def _retire(self, generation: Generation, report: Report) -> None:
        """It goes on without its front until its workers are done; the next one starts.

        The time that its front hung is none of service: one whose every front hangs dies young each time.
        """
        now = time.monotonic()
        self.retiring.append(generation)
        self.generation = None
        self.early += not self.announced
        if self.early >= EARLY_DEATHS and not self.stopping:
            text = f"{report.text}; {self.early} generations ended before anything was ready"
            self._give_up(Report("failed", text, plain=True))
            return
        delay = self.policy.delay(0.0 if generation.ready is None else max(0.0, now - generation.ready - HUNG))
        self.due = now + delay
        log.error("%s; the next generation starts %s", report.text, when(delay))

    def _died(self, generation: Generation, status: int) -> None:
        self.generation = None
        now = time.monotonic()
        late = min(now + self.drain + MARGIN, self.deadline)
        self.remains.append(generation.remains(late if status else now))  # 0: its roles left before it did
        if self.verdict is not None:
            self._kill()
        elif self.stopping:
            self.verdict = FORCED if status else 0
            if status < 0:
                log.warning(
                    "the mold of %s %s while it drained; its roles go on by themselves", self.name, cause(status)
                )
        elif self.failure:
            self._give_up(self.failure)
        else:
            self._restart(generation, status, now)

    def _restart(self, generation: Generation, status: int, now: float) -> None:
        self.early += not self.announced
        if self.early >= EARLY_DEATHS:
            text = f"its mold {cause(status)}; {self.early} of them ended before anything was ready"
            self._give_up(Report("failed", text))
            return
        delay = self.policy.delay(0.0 if generation.ready is None else now - generation.ready)
        self.due = now + delay
        told = f"mold {self.name} (generation {generation.number}, pid {generation.pid}) {cause(status)}"
        log.warning("%s after %.1f s; the next generation starts %s", told, now - generation.born, when(delay))

    def _give_up(self, failure: Report) -> None:
        first = "" if failure.plain else "the app cannot be loaded:\n"
        explained = self.explain(failure) if self.explain else ""
        sys.stderr.write(explained or f"{first}{failure.text}\n")
        sys.stderr.flush()
        self.verdict = BOOT_FAILED
        self._kill()

    # The missing

    def _let_go(self) -> None:
        """In a new mold: close what belongs to the supervisor alone."""
        self.signals.close()
        if self.control:
            self.control.let_go()
        for retired in self.retiring:
            retired.let_go()
        for remains in self.remains:
            os.close(remains.presence)

    def _fill(self) -> None:
        if self.generation or self.verdict is not None or time.monotonic() < self.due:
            return
        self.number += 1
        if self.prepare:
            self.prepare()
        try:
            self.generation = Generation(self.name, self.number, self.build, self._let_go)
        except OSError as error:
            delay = max(self.policy.delay(0.0), self.policy.first)
            self.due = time.monotonic() + delay
            log.error("the mold of %s cannot be forked: %s; tried again %s", self.name, error, when(delay))
