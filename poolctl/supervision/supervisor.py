"""The supervisor: the first process, which keeps a generation running and never executes a line of user code.

    signals --> supervisor --fork--> mold (generation 1) --fork--> roles
                    |                mold (generation 2) ...        the next one, when a mold has died
                    +-- listening sockets: inherited by all and kept open, so no restart refuses a connection

Runs: one loop, no threads. It sleeps until a signal arrives, a mold reports, a client of the control socket asks, or
something is due; then it handles, in this order, signals, exited children, a reload, missing children, and clients. The
file is long because that one loop owns all of it.

Exit codes
    0    stopped, and every request in flight was answered; or an upgrade has replaced this supervisor
    1    stopped, but a process had to be killed, or died, while draining
    3    the first generation could not start
    130  a second SIGINT, 131, a second SIGQUIT, or 143, a second SIGTERM: killed without draining

A generation whose front hangs in plugin code retires: the next one starts beside it. A reload (reload.py) starts the
generation of the next configuration beside the current one, which retires when the new one is ready. An upgrade
(upgrade.py) does the same with another supervisor, which this one then leaves the server to (takeover.py).

When a mold is killed its roles become orphans and drain without it, while the next generation serves. They are killed
when their time to drain is over, and a stop waits for them.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

from setproctitle import setproctitle

from poolctl.errors import PoolctlError
from poolctl.runtime.listen import server_stop
from poolctl.runtime.listen.listener import shut
from poolctl.runtime.system.prctl import adopt_orphans
from poolctl.supervision.commands import commands
from poolctl.supervision.configuration import Configuration, ExitCode
from poolctl.supervision.control import Control, Mode
from poolctl.supervision.events import Event, Events, Kind, Ring, ending, one_line
from poolctl.supervision.failed_turns import FailedTurns
from poolctl.supervision.first_process import accompany
from poolctl.supervision.generation import MARGIN_SECONDS, Generation, Orphans
from poolctl.supervision.handover import Link
from poolctl.supervision.launch import Launch
from poolctl.supervision.mold import BOOT_FAILED, FORCED, HUNG_SECONDS
from poolctl.supervision.notify import Notifier
from poolctl.supervision.reload import REVIEW_SECONDS, Caller, Reload, explained
from poolctl.supervision.reports import Report
from poolctl.supervision.restart import EARLY_DEATHS, RestartPolicy, cause, when
from poolctl.supervision.roster import PoolState
from poolctl.supervision.server_drain import DrainPhase, ServerDrain
from poolctl.supervision.signals import SUPERVISED, UNUSED, Signals
from poolctl.supervision.takeover import Takeover, TakeoverStep
from poolctl.supervision.totals import Totals
from poolctl.supervision.upgrade import Upgrade
from poolctl.supervision.watch import FileWatch

if TYPE_CHECKING:
    from poolctl.runtime.app.refusal_page import RefusalPage  # only in development

log = logging.getLogger("poolctl")

PEEK_SECONDS = 0.01  # seconds between checks for queued clients at the listening sockets, after a stop
UNIX_QUEUE_SECONDS = 0.5  # seconds after a stop, from which on the kernel queues no more clients at a busy unix socket

# Those without a level are not logged: a failed start has given its reason, and so has a second signal.
END_MESSAGES: dict[int, tuple[int | None, str]] = {
    0: (logging.INFO, "%s stopped"),
    FORCED: (logging.WARNING, "%s stopped; unfinished requests were cut off"),
    BOOT_FAILED: (None, "%s failed to start"),
}


class Supervisor:
    """Runs a server until a signal stops it."""

    def __init__(  # noqa: PLR0915  # all that the loop knows
        self,
        configuration: Configuration,
        *,
        control: Mode = "off",
        page: RefusalPage | None = None,
        launch: Launch | None = None,
        takeover: Takeover | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            configuration: what to run.
            control: which commands the control socket takes; off: there is none.
            page: in development, where browsers see why a reload was refused; then each change of a file is a reload.
            launch: how this process was started; None: an upgrade is not possible.
            takeover: the upgrade that has started this process.
        """
        self.configuration = configuration
        self.name = configuration.name
        self.launch = launch
        self.takeover = takeover
        self.ring = Ring()
        self.events = Events(self._keep)
        self.control_mode = control
        self.control: Control  # from `run` on
        self.notifier = Notifier()
        self.refusal = ""  # why the last change was refused, until one is not
        self.started = time.monotonic()  # of the first supervisor: the clock is that of the system
        self.totals = Totals()
        if takeover is None:
            server_stop.reset()
        self.policy = RestartPolicy()
        self.generation: Generation | None = None
        self.number: int = takeover.state["number"] if takeover else 0  # of the last generation
        self.due = 0.0  # when to start the next generation, while there is none
        self.orphans: list[Orphans] = []
        # Generations that finish their requests in flight: their front hung, or a reload has replaced them.
        self.retiring: list[Generation] = []
        self.reload: Reload | None = None
        self.server_drain = ServerDrain(self)
        self.watch = FileWatch(self, page)
        self.waiting = False  # in development: nothing can be started before a file changes
        self.hung_up = False  # a SIGHUP came; during another change it waits, since the file may have changed after it
        self.outworn = ""  # why the current generation is due to be replaced; during another change it waits
        self.more = 0  # workers that signals have asked for, or below 0 no longer want; during another change they wait
        self.upgrade: Upgrade | None = None
        self.upgrade_asked = False  # a SIGUSR2 came; during another change it waits
        self.leaving: Upgrade | None = None  # whose process is the server now; this one drains
        self.accompanied: tuple[Link, Link] | None = None  # this end and a later supervisor's, if this process stays
        self.replaced: list[Configuration] = []  # those of retiring generations and orphans
        self.announced = False
        self.early = 0  # deaths without a report, before anything was ready
        self.failure: Report | None = None  # of the first generation
        self.failed = FailedTurns("the supervisor")
        self.dead: dict[int, int] = {}  # children that have ended, and were not acted on: pid and exit code
        self.signalled: list[signal.Signals] = []  # signals that were not acted on
        self.stopping = False
        self.stopping_since = inf
        self.notice_over = inf  # when the drain begins, once a stop was asked for that has a notice
        self.cut_off = 0  # requests in flight when a second signal killed everything
        self.crowded = inf  # after a stop: until when new clients may join the queues
        self.admitting: list[socket.socket] = []  # listening sockets that are to be shut, and are not yet
        self.deadline = inf  # of a stop
        self.exit_code: int | None = None  # once it is known

    @property
    def drain(self) -> float:
        """Seconds that a stop may take."""
        return self.configuration.drain

    @property
    def _drain_times(self) -> str:
        """How long it drains, for the log and the service manager."""
        stream = self.configuration.stream
        return f"{self.drain:g} s" + ("" if stream is None else f", streams for up to {stream:g} s")

    def run(self) -> int:
        """Serve until a signal stops the server. Returns the exit code."""
        self._begin()
        gc.enable()  # see poolctl.cli.entry
        try:
            with self.signals:
                while self.exit_code is None or not self.drained or self._ending():
                    try:
                        self._turn()
                    except BaseException as error:  # noqa: BLE001  # memory may run out at any line
                        self.failed.note(error)
                self.control.end(reading=False)
                if self.leaving:
                    return self._leave(self.leaving)
                level, text = END_MESSAGES.get(self.exit_code, (None, "%s stopped at once"))
                self.events.record(Kind.SERVER_STOPPED, text % self.name, level, status=self.exit_code)
                return self.exit_code
        finally:
            self.watch.close()
            self._kill()  # nothing is left to kill, unless an error ended the loop
            self.control.end(reading=False)  # again, in case an error ended the loop
            self.control.end(reading=True)
            self.control.close()
            if self.takeover and self.takeover.first and not self.leaving:
                self.takeover.first.send("exit", code=self.exit_code)

    def _turn(self) -> None:
        """Sleep until there is something to do, and do it. After an error the next turn goes on."""
        ready = self._sleep()
        self.signalled += self.signals.take()
        while self.signalled:
            self._handle_signal(self.signalled.pop(0))
        if time.monotonic() >= self.notice_over:
            self.stop("the notice is over")
        self._handle_exits()
        self._go_on_with_reload()
        self._go_on_with_upgrade()
        self.server_drain.turn(time.monotonic())
        self._shut_listeners()
        self._start_missing()
        self._notify()
        self.control.turn(ready)

    def _begin(self) -> None:
        """Take the title, the signals, the control socket and the service manager's variables."""
        setproctitle(f"poolctl: supervisor {self.name}")
        self.signals = Signals(*SUPERVISED, last=True)
        self.manager = self.notifier = Notifier.from_environment(os.environ)
        self.control = Control(self.name, commands(self), self.events, self.control_mode, listens=self.takeover is None)
        if self.takeover is None:
            self.events.record(Kind.SERVER_STARTED, f"{self.name} starts", logging.INFO, pid=os.getpid())
        else:
            self.notifier = Notifier()  # until this process is the server

    def _ending(self) -> bool:
        """Whether another supervisor has yet to end, before this one may."""
        return (self.upgrade is not None and not self.upgrade.over) or (
            self.takeover is not None and self.takeover.drains
        )

    def status(self) -> dict[str, Any]:
        """Return what the server is, and what it is doing."""
        pool = self.pool()
        figures = self.configuration.figures(pool["size"] if pool else 0)
        if self.server_drain.phase is DrainPhase.DRAINED:
            figures["workers"] = []
        return {
            "name": self.name,
            "file": self.configuration.reviewer.file if self.configuration.reviewer else "",
            "pid": os.getpid(),
            "state": self._state(),
            "generation": self.number,
            "retiring": len(self.retiring),
            "uptime_seconds": round(time.monotonic() - self.started, 1),
            "at_work": self.control.at_work and self.control.at_work.shown(),
            "total": self.counted(),
            "pool": pool,
            **figures,
        }

    def pool(self) -> dict[str, Any] | None:
        """Return what the current generation's workers are to be; None while there is none."""
        if self.generation is None or self.generation.ready is None:
            return None
        state = self.generation.pool
        workers = self.configuration.workers  # of a pool of threads, which the mold does not see
        return {
            "size": state.size or workers,
            "in_file": self.configuration.size,
            "most": max(self.configuration.most, self.configuration.size),
            "automatic": state.automatic,
            "ready": state.ready if state.size else workers,
            "leaving": state.leaving,
            "to_recycle": state.recycling,
            "drained": list(state.drained),
        }

    def _state(self) -> str:
        if self.stopping or self.noticing or self.waiting:
            return "stopping" if self.stopping or self.noticing else "waiting for a change"
        if self.leaving or (self.takeover and not self.takeover.alone):
            return "upgrading"  # another process is the server
        if not self.server_drain.serving:
            return self.server_drain.phase.value
        return "running" if self.generation and self.generation.ready else "starting"

    def counted(self) -> dict[str, int]:
        """Return what all generations have counted since the server started."""
        running = [each.meter for each in (*self._starting(), *self.retiring)]
        return self.totals.with_running([*running, *(each.meter for each in self.orphans)])

    def _notify(self) -> None:
        """Tell the service manager what has changed, and that the loop runs."""
        if self.notifier.on:
            self.notifier.status(self._line())
            self.notifier.tick()

    def _line(self) -> str:
        """Return the state in one line, for the service manager."""
        if self.exit_code == BOOT_FAILED and self.failure:
            return f"cannot start: {self.failure.text.strip().rpartition(chr(10))[2]}"
        if self.noticing:
            return "about to stop; everything is still served"
        if self.stopping:
            return f"draining for up to {self._drain_times}"
        if self.waiting:
            return "the app cannot be started; waiting for a change"
        if not self.server_drain.serving:
            return f"{self.server_drain.phase.value} since poolctl drain"
        if not self.generation or not self.generation.ready:
            return f"starting generation {self.number or 1}"
        earlier = len(self.retiring)
        parts = [f"{earlier} earlier generation{'s' * (earlier > 1)} draining"] if earlier else []
        parts += ["starting new workers for a reload"] if self.reload and self.reload.candidate else []
        parts += [self.refusal] if self.refusal else []
        return "; ".join([self.configuration.summary(), *parts])

    def reloaded(self, code: ExitCode, text: str, change: str = "reload") -> None:
        """A reload, or another change, has ended: whether it succeeded or not, the server is ready."""
        self.refusal = f"the last {change} was refused: {text.partition(chr(10))[0]}" if code else ""
        self.watch.reloaded(code, text)
        if self.announced and not self.stopping and not self.noticing:
            self.notifier.ready(self._line())

    def _sleep(self) -> set[int]:
        """Sleep until there is something to do. Returns the descriptors with an event."""
        now = time.monotonic()
        due = [orphans.deadline for orphans in self.orphans] + [self.notifier.due, self.deadline, self.control.due()]
        due += [self.watch.due, *(retired.deadline for retired in self.retiring)]
        if self.generation is None and self.exit_code is None and not self.waiting and not self.server_drain.down:
            due.append(self.due)
        if self.admitting:
            due.append(now + PEEK_SECONDS)
        due += [self.notice_over, self.server_drain.due]
        if (self.hung_up or self.more) and self.control.at_work is None:
            due.append(now)  # what they waited for has ended at the end of the last turn
        watched = [*self.watch.descriptors, *(orphans.presence for orphans in self.orphans)]
        generations = [*self.retiring, *self._starting()]
        watched += [each.reader.fileno() for each in generations if each.reader.fileno() >= 0]
        if self.reload:
            due.append(self.reload.deadline)
            watched += self.reload.watched
        if self.upgrade:
            due.append(self.upgrade.deadline)
            watched += self.upgrade.watched
        if self.takeover:
            due += [self.takeover.until] if self.takeover.drains else []
            watched += self.takeover.watched
        return self.signals.wait(watched, min(due) - now, self.control.interest())

    def _starting(self) -> list[Generation]:
        """The generations whose reports matter: the current one, and the one that is to replace it."""
        candidate = self.reload.candidate if self.reload else None
        return [each for each in (self.generation, candidate) if each is not None]

    # Signals

    def _handle_signal(self, number: signal.Signals) -> None:
        if number == signal.SIGCHLD:
            return  # it only wakes the loop: waitpid says which children exited
        if self.leaving:
            self._pass_on(number, self.leaving)
        elif number == signal.SIGUSR1:
            self._reopen()
        elif number == signal.SIGHUP:
            self.hung_up = True
        elif number == signal.SIGTTIN:
            self.more += 1
        elif number == signal.SIGTTOU and signal.getsignal(number) != signal.SIG_IGN:
            self.more -= 1
        elif number == signal.SIGUSR2:
            self.upgrade_asked = True
        elif number in UNUSED:
            text = f"{number.name} ignored: {UNUSED[number]}"
            self.events.record(Kind.SIGNAL, text, logging.WARNING, signal=number.name)
        elif self.stopping:
            self.stop_now(f"{number.name} while draining", number)
        else:
            self.stop(number.name)

    def _reopen(self) -> None:
        """Reopen the log file, in this process first: it creates the file and gives it to the user of the others."""
        if self.configuration.reopen is None:
            text = "SIGUSR1 ignored: there is no log file to reopen"
            self.events.record(Kind.SIGNAL, text, logging.INFO, signal="SIGUSR1")
            return
        self.configuration.reopen()
        self.events.record(Kind.LOG_REOPENED, "SIGUSR1: the log file was reopened", signal="SIGUSR1")
        for generation in [*self._starting(), *self.retiring]:  # not reaped, so the pid is still the mold's
            os.kill(generation.pid, signal.SIGUSR1)

    def stopping_seconds(self) -> float:
        """Return how long the stop has taken so far; 0 without one."""
        return max(0.0, time.monotonic() - self.stopping_since)

    def stop_now(self, why: str, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop without draining: kill everything. ``number``: the signal that the exit code names."""
        self.stopping, self.stopping_since = True, min(self.stopping_since, time.monotonic())
        figures = self.configuration.figures()
        self.cut_off = figures.get("in_flight", 0) + figures.get("waiting", 0)
        self.events.record(Kind.SIGNAL, f"{why}: stopping at once", logging.WARNING, reason=why)
        self.watch.close()
        self._abandon_changes()
        if self.takeover:
            self.takeover.cut_off()
        self.exit_code = 128 + number
        self._kill()

    def give_way(self) -> None:
        """End, since the other supervisor goes on. A mold that may have clients drains; that supervisor sees to it."""
        if self.generation and not self.generation.serves:
            self.generation.kill()
        self.generation, self.exit_code = None, 128 + signal.SIGTERM

    def _abandon_changes(self) -> None:
        for change in (self.reload, self.upgrade):
            if change:
                change.abandon("the server is being stopped")
        self.server_drain.stopped()

    @property
    def noticing(self) -> bool:
        """Whether a stop was asked for, and everything is still served for `timeouts.notice`."""
        return self.notice_over < inf

    def stop(self, why: str) -> None:
        """Begin to drain, and stop when every request in flight is answered; before that, if the topology says so, give
        notice. ``why``: a signal, or a command. A second call during the notice ends it."""
        if self.takeover and self.takeover.pending:  # another supervisor is the server, and is not to be stopped
            self.takeover.fail(1, f"{why} has ended the new supervisor")
            self.give_way()
            return
        if self.configuration.notice and self.announced and not self.noticing and not self.server_drain.down:
            self._give_notice(why, self.configuration.notice)
            return
        self.notice_over = inf
        text = f"{why}: draining for up to {self._drain_times}"
        self.events.record(Kind.STOP_STARTED, text, logging.INFO, reason=why)
        self.stopping, self.stopping_since = True, time.monotonic()
        server_stop.announce()
        self.watch.close()
        self.notifier.stopping(self._line())
        now = time.monotonic()
        self.deadline = now + self.drain + MARGIN_SECONDS
        self.crowded = now + UNIX_QUEUE_SECONDS
        self.admitting = [*self.admitting, *self.configuration.listeners]
        self._abandon_changes()
        if self.generation:
            self.generation.end()
        elif self.exit_code is None:
            self.exit_code = 0

    def _give_notice(self, why: str, seconds: float) -> None:
        text = f"{why}: still serving for {seconds:g} s (timeouts.notice), then draining"
        self.events.record(Kind.STOP_STARTED, text, logging.INFO, reason=why)
        self.notice_over = time.monotonic() + seconds
        server_stop.give_notice()
        self.notifier.stopping(self._line())
        self._abandon_changes()

    def _shut_listeners(self) -> None:
        """After a stop, and for addresses that a reload has removed: shut every listening socket whose queue is empty,
        so that new clients are refused.

        The process that accepts the last queued client shuts the socket; this is for sockets whose workers are all
        busy. Clients already queued are still served, and shutting the socket would reset them. Clients that connect
        while all workers are busy join the queue; at a unix socket, where no filter can keep them out, the backlog is
        set to 0.
        """
        for listener in list(self.admitting):
            if shut(listener):
                self.admitting.remove(listener)
            elif listener.family == socket.AF_UNIX and (time.monotonic() >= self.crowded or not self._ceases):
                listener.listen(0)
        if time.monotonic() >= self.crowded:
            self.crowded = inf

    @property
    def _ceases(self) -> bool:
        """Whether the server accepts no more clients, and not only at addresses that a reload has removed."""
        return self.stopping or self.server_drain.down

    def take_down(self, why: str) -> Generation | None:
        """Have the current generation drain, as in a stop. Returns it; None if there is none just now."""
        self.crowded = time.monotonic() + UNIX_QUEUE_SECONDS
        self.admitting += self.configuration.listeners
        generation, self.generation = self.generation, None
        if generation:
            self._let_drain(generation, why)
        return generation

    def _let_drain(self, generation: Generation, why: str) -> None:
        """Have a generation finish its requests and end, in the time of its configuration."""
        generation.ends_because(why)
        generation.end(time.monotonic() + generation.configuration.drain + MARGIN_SECONDS)
        self.retiring.append(generation)

    def refuse_clients(self, configuration: Configuration) -> None:
        """Shut the listening sockets of a configuration, whoever is queued there: nobody is left to serve them."""
        for listener in configuration.listeners:
            with contextlib.suppress(OSError):  # it is shut already
                listener.shutdown(socket.SHUT_RDWR)
        self.admitting = [each for each in self.admitting if each not in configuration.listeners]

    def _kill(self) -> None:
        for generation in [*self.retiring, *self._starting()]:
            generation.kill()
        soon = time.monotonic() + MARGIN_SECONDS
        for orphans in self.orphans:
            orphans.kill()
        self.orphans = [replace(orphans, deadline=min(soon, orphans.deadline)) for orphans in self.orphans]

    # Exits

    def _handle_exits(self) -> None:
        self.dead |= self._reap()
        dead = self.dead
        for generation in self._starting():
            for report in generation.reports():  # after reaping, so that the last report is among them
                self._handle_report(generation, report)
            if generation.pid in dead and generation is self.generation:
                self._died(generation, dead[generation.pid])
            elif generation.pid in dead and self.reload and generation is self.reload.candidate:
                self.reload.ended(generation, dead[generation.pid])
                generation.ends_because(f"its mold {cause(dead[generation.pid])} before its workers were ready")
                self.orphans.append(generation.orphans(time.monotonic()))
                self.replaced.append(generation.configuration)
        now = time.monotonic()
        self.watch.died(dead, now)
        self._handle_retired(dead, now)
        if self.upgrade:
            self.upgrade.look(dead)
        if now >= self.deadline and self.takeover:
            self.takeover.cut_off()
        if now >= self.deadline and self.generation:
            text = f"{self.name} was still running {self.drain + MARGIN_SECONDS:g} s after the stop; killed"
            self.events.record(Kind.DRAIN_EXPIRED, text, logging.ERROR, reason="timeouts.drain")
            self.exit_code, self.deadline = FORCED, inf
            self._kill()
        for orphans in [orphans for orphans in self.orphans if now >= orphans.deadline or not orphans.alive()]:
            orphans.kill()
            os.close(orphans.presence)
            self.orphans.remove(orphans)
            self.totals.add(orphans.meter())
            text = f"generation {orphans.number} of {self.name} ended: {orphans.reason}"
            self.events.record(Kind.GENERATION_ENDED, text, generation=orphans.number, reason=orphans.reason)
        self._discard_replaced()
        self.dead = {}

    def _handle_retired(self, dead: Mapping[int, int], now: float) -> None:
        for retired in self.retiring:
            for report in retired.reports():
                self._keep_event(retired, report)
        for retired in [each for each in self.retiring if each.pid in dead]:
            self.retiring.remove(retired)
            late = min(now + retired.configuration.drain + MARGIN_SECONDS, self.deadline)
            self.orphans.append(retired.orphans(late if dead[retired.pid] else now))
            if self.reload:
                self.reload.ended(retired, dead[retired.pid])
            if self.server_drain.ended(retired, dead[retired.pid]) and self.exit_code == 0:
                self.exit_code = FORCED
            if self.leaving and dead[retired.pid]:
                self.leaving.forced()
        for retired in [each for each in self.retiring if now >= each.deadline]:
            text = f"generation {retired.number} of {self.name} did not end in time; killed"
            where = {"generation": retired.number, "reason": "timeouts.drain"}
            self.events.record(Kind.DRAIN_EXPIRED, text, logging.ERROR, **where)
            retired.kill()

    def _discard_replaced(self) -> None:
        """Close what only those configurations had that no process runs any more."""
        held = {id(each.configuration) for each in (*self.retiring, *self._starting())}
        held |= {id(each.configuration) for each in self.orphans}
        for each in [each for each in self.replaced if id(each) not in held]:
            if not set(each.listeners) & set(self.admitting):
                self.replaced.remove(each)
                each.discard(self.configuration)

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

    def _keep(self, event: Event) -> None:
        """Keep an event, in the supervisor that is the server."""
        self.ring.add(event)
        if self.leaving and self.leaving.link:
            self.leaving.link.send("event", wait=False, event=event.sent())

    def _keep_event(self, generation: Generation, report: Report) -> None:
        """Keep what happened in a mold, which has logged it."""
        if report.kind == "event":
            event = Event.received(report.event, generation.number)
            if event.kind == Kind.ROLE_READY and generation.role_ready() and self.takeover:
                self.takeover.serves()
            self._keep(event)

    def _note_report(self, generation: Generation, report: Report) -> None:
        """Note what a mold reports about its processes."""
        if report.kind == "event":
            self._keep_event(generation, report)
        elif report.kind == "pool":
            generation.has_pool(PoolState.received(report.pool))
        elif report.kind == "recycle":
            self.outworn = report.text
        elif self.reload:  # changed
            self.reload.answered(generation, report.text)

    def _handle_report(self, generation: Generation, report: Report) -> None:
        if report.kind in ("event", "pool", "recycle", "changed"):
            self._note_report(generation, report)
            return
        if self.reload and generation is self.reload.candidate:
            if report.kind == "failed":
                self._failed(generation, report, None)
            self.reload.reported(report)
            return
        if report.kind == "failed":
            late = self.announced or self.stopping
            self._failed(generation, report, logging.ERROR if late else None)
            self.failure = self.failure if late else report
            return
        if report.kind == "hung":
            self._retire(generation, report)
            return
        self._is_ready(generation)
        if self.takeover and self.takeover.pending:
            self.takeover.ready()
        elif not self.announced:
            self.announced = True
            self.configuration.announce()
            self.notifier.ready(self._line())

    def _is_ready(self, generation: Generation) -> None:
        generation.became_ready()
        text = f"generation {generation.number} of {self.name} is ready"
        self.events.record(Kind.GENERATION_READY, text, logging.INFO, generation=generation.number)

    def _failed(self, generation: Generation, report: Report, level: int | None) -> None:
        """A generation cannot start. ``level``: of the log line, unless the reason is said elsewhere."""
        reason = report.summary or one_line(report.text)
        generation.ends_because(reason)
        text = f"generation {generation.number} of {self.name} failed to start: {report.text}"
        self.events.record(Kind.GENERATION_FAILED, text, level, generation=generation.number, reason=reason)

    def _retire(self, generation: Generation, report: Report) -> None:
        """Let a generation finish its requests without its front, while the next one starts.

        The time for which the front hung does not count as service, so a generation whose front always hangs dies young
        each time.
        """
        now = time.monotonic()
        generation.ends_because("its front hung in plugin code")
        self.retiring.append(generation)
        self.generation = None
        if self.reload:
            self.reload.interrupted(generation)
        self.early += not self.announced
        if self.early >= EARLY_DEATHS and not self.stopping:
            text = f"{report.text}; {self.early} generations ended before anything was ready"
            self._give_up(Report("failed", text, plain=True))
            return
        delay = self.policy.delay(0.0 if generation.ready is None else max(0.0, now - generation.ready - HUNG_SECONDS))
        self.due = now + delay
        text = f"{report.text}; starting the next generation {when(delay)}"
        self.events.record(Kind.FRONT_HUNG, text, logging.ERROR, generation=generation.number, reason="plugin code")

    def _died(self, generation: Generation, status: int) -> None:
        self.generation = None
        if self.reload:
            self.reload.interrupted(generation)
        now = time.monotonic()
        generation.ends_because(
            f"its mold {cause(status)}" if status < 0 or not self.stopping else "the server stopped"
        )
        late = min(now + self.drain + MARGIN_SECONDS, self.deadline)
        self.orphans.append(generation.orphans(late if status else now))  # 0: its roles exited before it did
        if self.exit_code is not None:
            self._kill()
        elif self.stopping:
            self.exit_code = FORCED if status else 0
            if status < 0:
                text = f"the mold of {self.name} {cause(status)} while draining; its roles drain without it"
                self._mold_died(generation, status, text)
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
        after = f"after {now - generation.born:.1f} s; starting the next generation {when(delay)}"
        self._mold_died(generation, status, f"{ended} {after}")

    def _mold_died(self, generation: Generation, status: int, text: str) -> None:
        where = {"generation": generation.number, "pid": generation.pid, **ending(status)}
        self.events.record(Kind.MOLD_DIED, text, logging.WARNING, **where)

    def _give_up(self, failure: Report) -> None:
        first = "" if failure.plain else "cannot load the app:\n"
        text = explained(self.configuration, failure) or f"{first}{failure.text}\n"
        if self.takeover and self.takeover.pending:
            self.takeover.fail(1, text)
        else:
            sys.stderr.write(text)
            sys.stderr.flush()
        if self.watch.on:
            log.warning("%s cannot start; waiting for a change", self.name)
            self.waiting, self.failure, self.early = True, None, 0
        else:
            self.exit_code, self.failure = BOOT_FAILED, failure
            self.notifier.stopping(self._line())
        self._kill()

    # Starts

    def close_inherited(self) -> None:
        """In a new mold: close what belongs to the supervisor alone."""
        self.signals.close()
        self.control.close_inherited()
        for generation in [*self.retiring, *self._starting()]:
            generation.close_inherited()
        self.watch.close_inherited()
        for other in (self.reload, self.upgrade, self.takeover):
            if other:
                other.close_inherited()
        for link in self.accompanied or ():
            link.close()
        for orphans in self.orphans:
            os.close(orphans.presence)

    def _start_missing(self) -> None:
        if self.generation or self.waiting or self.exit_code is not None or time.monotonic() < self.due:
            return
        if self.server_drain.down:
            return
        try:
            self.generation = self.fork(self.configuration)
        except OSError as error:
            delay = max(self.policy.delay(0.0), self.policy.first)
            self.due = time.monotonic() + delay
            text = f"cannot fork the mold of {self.name}: {error}; retrying {when(delay)}"
            self.events.record(Kind.FORK_FAILED, text, logging.ERROR, generation=self.number, reason=str(error))

    def fork(self, configuration: Configuration) -> Generation:
        """Start a generation. Raises OSError if its mold cannot be forked."""
        self.number += 1
        configuration.prepare()

        def close_inherited() -> None:
            self.close_inherited()
            for other in [*self.replaced, self.configuration]:
                if other is not configuration:
                    other.discard(configuration)

        generation = Generation(configuration, self.number, close_inherited)
        text = f"generation {self.number} of {self.name} started"
        self.events.record(Kind.GENERATION_STARTED, text, generation=self.number, pid=generation.pid)
        if self.takeover:
            self.takeover.forked(generation)
        return generation

    # Reloads

    def start_reload(
        self,
        caller: Caller,
        *,
        wait: float | None = None,
        dry: bool = False,
        make: Callable[[], Configuration] | None = None,
    ) -> None:
        """Begin to replace the current generation by one of the file as it is now, or, with ``make``, by one of the
        configuration that this returns. The caller gets the outcome."""
        if self.announced and not self.stopping and not self.noticing and not dry:
            self.notifier.reloading()
        if self.stopping or self.noticing or self.exit_code is not None:
            caller.finish(ExitCode.REFUSED, "the server is being stopped")
        elif self.reload is not None:
            caller.finish(ExitCode.REFUSED, f"another reload is {self.reload.step.value}, since {self.reload.took}")
        elif not self.server_drain.serving and self.server_drain.phase is not DrainPhase.RESUMING:
            caller.finish(ExitCode.REFUSED, self.server_drain.refusal)
        elif not self.waiting and self.server_drain.serving and not self.up:
            caller.finish(ExitCode.REFUSED, "the server is still starting")
        else:
            self.reload = Reload(self, caller, wait=wait, dry=dry, make=make)
            self.reload.begin()

    @property
    def up(self) -> bool:
        """Whether a generation serves."""
        return self.generation is not None and self.generation.ready is not None

    def _go_on_with_reload(self) -> None:
        self.watch.turn(time.monotonic())
        if self.reload is not None:
            self.reload.turn(time.monotonic())
            if self.reload.over:
                self.reload = None
        if self.hung_up and self.control.at_work is None:
            self.hung_up = False
            self.control.start("reload", {}, "SIGHUP")
        if self.outworn and self.control.at_work is None:
            reason, self.outworn = self.outworn, ""
            self.control.start("recycle", {"reason": reason}, reason)
        if self.more and self.control.at_work is None:
            more, self.more = self.more, 0
            size = (self.pool() or {"size": 1})["size"]
            if size > 1:  # however many came, the last worker stays
                more = max(more, 1 - size)
            self.control.start("scale", {"to": f"{more:+d}"}, "SIGTTIN" if more > 0 else "SIGTTOU")
        if self.watch.asks and self.control.at_work is None:
            self.watch.begin()

    def withdraw(self, why: str) -> None:
        """Give up the start of the first generation, and wait for a change. ``why``: what has happened."""
        self.waiting, self.failure, self.early = True, None, 0
        if self.generation:
            self.give_up(self.generation, why)
            self.generation = None

    def give_up(self, generation: Generation, why: str) -> None:
        """End a generation that was not ready. If some of its workers were, their clients move to the current one."""
        why = f"it was given up: {why}"
        if self.server_drain.down:
            self.refuse_clients(generation.configuration)
        if generation.serves and generation is not self.generation:
            self._let_drain(generation, why)
        else:
            generation.ends_because(why)
            generation.kill()
            self.retiring.append(generation)
        self.replaced.append(generation.configuration)

    def switch(self, generation: Generation) -> Generation | None:
        """Make a generation, which is ready, the current one, and have the one before it drain. Returns that one; None
        if it has died meanwhile."""
        old, before = self.generation, self.configuration
        self.outworn = ""
        self.generation, self.configuration = generation, generation.configuration
        self.replaced.append(before)
        kept = set(self.configuration.listeners)
        self.admitting += [each for each in before.listeners if each not in kept]
        self._is_ready(generation)
        self.configuration.announce()
        self.refusal, self.announced, self.waiting = "", True, False
        self.watch.serves()
        self.notifier.ready(self._line())
        if old is not None:
            self._let_drain(old, f"a reload replaced it by generation {generation.number}")
        return old

    def note_values(self, generation: Generation, text: str, *, taken: bool) -> None:
        """Note whether the processes of the generation have taken new values. ``text``: for people."""
        kind, level = (Kind.VALUES_CHANGED, logging.INFO) if taken else (Kind.VALUES_REFUSED, logging.WARNING)
        self.events.record(kind, text, level, generation=generation.number)

    # Upgrades: the supervisor that leaves

    def start_upgrade(self, caller: Caller, wait: float | None) -> None:
        """Begin to replace this supervisor by one of the installed version. The caller gets the outcome. ``wait``:
        seconds until it is ready; None: those of a reload, and what reading the file may take."""
        if self.stopping or self.noticing or self.exit_code is not None:
            caller.finish(ExitCode.REFUSED, "the server is being stopped")
        elif self.takeover and self.takeover.step is not TakeoverStep.DONE:
            caller.finish(ExitCode.REFUSED, f"process {self.takeover.pid}, which this one has replaced, still drains")
        elif not self.server_drain.serving:
            caller.finish(ExitCode.REFUSED, self.server_drain.refusal)
        elif not self.up:
            caller.finish(ExitCode.REFUSED, "the server is still starting")
        else:
            self.notifier.reloading("starting a new supervisor")
            self.upgrade = Upgrade(self, caller, wait or self.configuration.ready + REVIEW_SECONDS)
            self.upgrade.begin()

    def _go_on_with_upgrade(self) -> None:
        if self.takeover:
            self.takeover.turn(self)
            if self.takeover.forsaken and not self.stopping and not self.leaving:
                self.stop("the first process was killed")
        if self.upgrade:
            self.upgrade.turn(time.monotonic())
            if self.upgrade.over and self.upgrade is not self.leaving:
                self.upgrade = None
        follows = self.takeover and self.takeover.step is not TakeoverStep.DONE
        if self.upgrade_asked and self.control.at_work is None and not follows:
            self.upgrade_asked = False
            self.control.start("upgrade", {}, "SIGUSR2")

    def state(self) -> dict[str, Any]:
        """Return what the new supervisor goes on with."""
        return {
            "number": self.number,
            "started": self.started,
            "total": self.counted(),
            "events": [event.sent() for event in self.ring.since(0)],
            "last_event": self.ring.last,
        }

    def stays(self) -> Link | None:
        """Return the end of a link for the new supervisor if somebody waits for the end of this process, or of the
        first one; None if nobody does."""
        if self.takeover and self.takeover.first:
            return self.takeover.first
        if self.notifier.on and os.getpid() != 1:
            return None  # the service manager follows
        if self.accompanied is None:
            self.accompanied = Link.pair()
            adopt_orphans(True)  # before there are any
        return self.accompanied[1]

    def hand_over(self, upgrade: Upgrade, listening: list[int], version: str) -> None:
        """Drain: the process of this upgrade is the server from now on, and listens on these descriptors."""
        self.leaving = upgrade
        text = f"{self.name} goes on as process {upgrade.pid} ({version})"
        self.events.record(Kind.SERVER_REPLACED, text, logging.INFO, pid=upgrade.pid)
        self.control.retire(text)
        try:
            self.configuration.release()
        except OSError as error:
            log.error("cannot remove the PID file of %s: %s", self.name, error)
        self.notifier.main_pid(upgrade.pid)
        self.notifier = Notifier()
        if self.takeover and self.takeover.first:
            self.takeover.first.send("process", pid=upgrade.pid)
        assert upgrade.link is not None  # it has just said that it serves
        upgrade.link.send("alone")
        for asked, number in ((self.hung_up, signal.SIGHUP), (self.upgrade_asked, signal.SIGUSR2)):
            if asked:
                self._pass_on(number, upgrade)
        for _ in range(abs(self.more)):
            self._pass_on(signal.SIGTTIN if self.more > 0 else signal.SIGTTOU, upgrade)
        self.hung_up, self.upgrade_asked, self.more = False, False, 0
        self.admitting += [each for each in self.configuration.listeners if each.fileno() not in listening]
        self.exit_code = 0
        if self.generation:
            self._let_drain(self.generation, f"an upgrade replaced it: process {upgrade.pid} serves")
            self.generation = None

    def _pass_on(self, number: signal.Signals, upgrade: Upgrade) -> None:
        """Pass a signal on to the supervisor that has replaced this one."""
        if number == signal.SIGUSR1:
            self._reopen()
        upgrade.signal(number)

    def resume(self, failed: int) -> None:
        """An upgrade has failed, and its process has ended, which may have called itself the supervisor."""
        if not self.stopping and not self.noticing:
            server_stop.reset()
        try:
            self.configuration.resume(failed)
        except (OSError, PoolctlError) as error:
            log.error("the PID file of %s is not restored: %s", self.name, error)

    def kill_draining(self) -> None:
        """Kill everything that drains."""
        self._kill()

    def add_orphans(self, orphans: Orphans, *, serving: bool) -> None:
        """End the roles of a new supervisor that is gone. ``serving``: they may have clients, which move to the current
        generation."""
        late = time.monotonic() + self.drain + MARGIN_SECONDS if serving else 0.0
        self.orphans.append(replace(orphans, deadline=late))

    @property
    def drained(self) -> bool:
        """Whether no generation is left, of this supervisor or of one that it has replaced."""
        before = self.takeover is not None and self.takeover.drains
        return not (self.generation or self.retiring or self.orphans or before)

    def _leave(self, upgrade: Upgrade) -> int:
        """End, or stay for whoever waits for this process. Returns the exit code."""
        if upgrade.link:
            upgrade.link.send("ended", total=self.counted())
            upgrade.link.close()
        self.control.end(reading=True)
        self.control.close()
        self.configuration.leave()
        if self.accompanied is None:
            return 0
        ours, theirs = self.accompanied
        theirs.close()
        return accompany(self.name, upgrade.pid, ours, self.signals)

    # Upgrades: the supervisor that takes over

    def take_over(self, state: dict[str, Any]) -> list[int]:
        """Make control socket and PID file this process's own, and go on with the counters of the state. Returns the
        listening descriptors. Raises PoolctlError if that is not possible; then nothing has changed."""
        if self.stopping or self.generation is None or self.generation.ready is None:
            raise PoolctlError("its workers have ended again; see the server's log")
        listening = self.configuration.take_over()
        self.control.listen()
        self.started = state["started"]
        self.totals.continue_from(state["total"])
        self.ring.continue_from([Event(**each) for each in state["events"]], state["last_event"])
        self.announced = True
        self.configuration.announce()
        return listening

    def serves_alone(self) -> None:
        """Report to the service manager."""
        self.notifier = self.manager
        self.notifier.ready(self._line())

    def predecessor_ended(self, total: dict[str, int]) -> None:
        """The supervisor that leaves has ended. ``total``: its last figures; empty: it was killed."""
        if total:
            self.totals.continue_from(total)
