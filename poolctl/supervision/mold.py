"""The mold: it builds the plan, forks every role, and forks a role again when its process dies.

    supervisor ==lifeline==> mold ==lifeline of stage 0==> fronts          ==> pipes on which nothing is ever written:
    supervisor <--Report---- mold ==lifeline of stage 1==> workers             EOF means drain and exit
               ---Order----> mold ==leave================> one worker
                               | <------channel-----------> each role        to end it, or with new values (change.py)
                               ^---------Report------------ each role

Owns: the plan with its channels, the write ends of the lifelines, the list of children. No threads, no client sockets.
Runs: one loop. It sleeps until the supervisor's lifeline ends, a role reports, a child dies, or something is due.
Order of a turn: stop, exited children, children that take too long, workers that come and go (roster.py), missing
children, the next stage of a stop.

A stop (or the supervisor's death, which looks the same) has two stages. First the lifeline of stage 0 is closed: its
roles take no more work and exit when the work they took is done; a worker that dies meanwhile is still replaced. Then
the plan closes the descriptors on which stage 1 must see EOF, and the lifeline of stage 1 is closed. Processes that
still run when the time to drain is over are ended.

A process that takes too long is ended in steps, none of which the loop waits for: a word in its channel has it log what
it is doing and kill itself; a signal has it write its bare stacks, if its interpreter does not run; then it is killed.

Not guaranteed: when the mold itself is killed all lifelines end at the same time, so the stages overlap. A stop that is
requested while the plan is being built (the app is being imported) takes effect when it is built.

The file is long because one loop owns all of it.
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
from select import POLLIN, POLLOUT
from time import sleep

from poolctl.runtime.pool.finish import begin, finish
from poolctl.runtime.system import forked
from poolctl.supervision.change import ChangeStep, ValueChange
from poolctl.supervision.child import Child, Pipes
from poolctl.supervision.elastic import Elastic
from poolctl.supervision.events import Event, Events, Kind, ending
from poolctl.supervision.failed_turns import FailedTurns
from poolctl.supervision.fork import fork, reap
from poolctl.supervision.plan import Lateness, Plan
from poolctl.supervision.recycling import SAMPLE_SECONDS, Memory, Recycling, WorkerFigures
from poolctl.supervision.reports import Outbox, Report, channel, failure, receive, receive_orders, send
from poolctl.supervision.restart import EARLY_DEATHS, cause, when
from poolctl.supervision.role import play
from poolctl.supervision.roster import PoolState, Roster
from poolctl.supervision.signals import Signals, on_reopen

log = logging.getLogger("poolctl")

LAST_STAGE = 1  # the last stage
CHECK_SECONDS = 0.5  # seconds between checks for overdue requests (if they have a time limit) and hanging plugin code
HUNG_SECONDS = 5.0  # seconds that a front may spend in plugin code
TRACEBACK_SECONDS = 0.1  # seconds that a hanging front has to write its traceback
REPORT_SECONDS = 1.0  # seconds that the supervisor has to take the last reports of a mold that exits
FORCED = 1  # exit status: a request in flight was lost
BOOT_FAILED = 3  # exit status: the reason was reported to the supervisor
OVERDUE_REASON = "a request took longer than timeouts.request"
STILLBORN = 3  # successors in a row of a worker that is to leave: then nobody serves what waits for it
REPLACE_AGAIN_SECONDS = 60.0  # seconds between two attempts to replace a process with such a request


def main(build: Callable[[], Plan], supervisor: socket.socket, lifeline: int, presence: int) -> int:
    """Run a mold in its own process, from the fork on. Returns the exit status."""
    begin()
    forked.hold({supervisor.fileno(), lifeline, presence}, only=True)
    gc.freeze()  # what poolctl has imported so far is not garbage, so collections need not look at it
    gc.enable()  # see poolctl.cli.entry
    try:
        plan = build()
    except BaseException as error:  # noqa: BLE001  # the user's code may raise anything, which is reported
        send(supervisor, failure(error))
        return BOOT_FAILED
    if threading.active_count() > 1:
        names = ", ".join(thread.name for thread in threading.enumerate() if thread is not threading.main_thread())
        log.warning("importing the app started threads (%s), which workers do not inherit; set preload: false", names)
    gc.collect()
    gc.freeze()  # memory stays shared with the roles: a collection would write to every object that it visits
    mold = Mold(plan, supervisor, lifeline, presence)
    status = mold.run()
    return finish(status, max(mold.time_left(), TRACEBACK_SECONDS))


class Mold:
    """The loop, and the steps that it takes in a fixed order."""

    def __init__(self, plan: Plan, supervisor: socket.socket, lifeline: int, presence: int) -> None:
        self.plan = plan
        self.presence = presence
        self.children = [Child(role) for role in plan.roles]
        self.roster = Roster(self.children, plan.size, plan.fixed)
        self.elastic = Elastic(plan.scale) if plan.scale else None
        self.recycling = Recycling(plan.recycle) if plan.recycle else None
        self.told = PoolState()  # what the supervisor knows of the roster
        self.memory = Memory()
        self.change: ValueChange | None = None  # of values, that is under way
        self.replaced = False  # the supervisor was asked to replace this generation
        self.orders_end = False
        self.supervisor, self.lifeline = supervisor, lifeline
        self.outbox = Outbox(supervisor)
        self.events = Events(self._report_event)
        self.signals = Signals(signal.SIGCHLD, signal.SIGUSR1, last=True)
        self.reports, self.reporter = channel()
        self.readers, self.writers = map(list, zip(*(os.pipe() for _ in range(LAST_STAGE + 1)), strict=True))
        self.ended = -1  # the last stage whose lifeline is closed
        self.deadline: float | None = None  # of a stop
        self.forced = False  # the deadline has passed, and everything was killed
        self.proven: set[int] = set()  # stages of which a role has been ready, so that their code can be loaded
        self.early = [0] * (LAST_STAGE + 1)  # deaths before that, by stage
        self.announced = False
        self.failed = FailedTurns("the mold")
        self.status = 0
        forked.hold({self.reports.fileno(), self.reporter.fileno(), *self.readers, *self.writers})

    def time_left(self) -> float:
        """Return the seconds until the deadline of a stop; 0 when none is under way."""
        return 0.0 if self.deadline is None else self.deadline - time.monotonic()

    def run(self) -> int:
        """Keep the roles running until a stop is complete. Returns the exit status."""
        with self.signals, self.reports, self.reporter:
            while self.ended < LAST_STAGE or any(child.pid for child in self.children):
                try:
                    self._turn()
                except BaseException as error:  # noqa: BLE001  # a signal handler of a preloaded app may raise anywhere
                    self.failed.note(error)
        self.outbox.finish(REPORT_SECONDS)
        return self.status

    def _report_event(self, event: Event) -> None:
        self.outbox.send(Report("event", event=event.sent()))

    def _turn(self) -> None:
        try:
            self._sleep()
        finally:
            now = time.monotonic()
            self._handle_exits(now)
            self._end_overdue(now)
            self._kill_hanging(now)
            if self.deadline is None:
                self._change_workers(now)
            self._change_values(now)
            self._fork_missing(now)
            self._drain(now)
            self._end_slow(now)

    def _sleep(self) -> None:
        """Sleep until there is something to do. A stop begins here, because its event arrives here."""
        due = [child.due for child in self.children if self._missing(child)]
        due += [child.kill_at for child in self.children]
        if self.deadline is None:
            due += [each.due for each in (self.recycling, self.elastic) if each]
            due += [self.roster.due, *(child.deadline for child in self.children)]
        due.append(inf if self.deadline is None or self.forced else self.deadline)
        if self.plan.request is not None or self.plan.guards:
            due.append(time.monotonic() + CHECK_SECONDS)
        watched = [self.reports.fileno()] + ([self.lifeline] if self.deadline is None else [])
        if self.change:
            due.append(self.change.deadline)
            watched += self.change.watched
        asked = (0 if self.orders_end else POLLIN) | (POLLOUT if self.outbox.waiting else 0)
        others = {self.supervisor.fileno(): asked} if asked else {}
        events = self.signals.wait(watched, min(due) - time.monotonic(), others)
        self.outbox.flush()
        self._take_orders()
        if lost := self.outbox.take_lost():
            self.events.record(Kind.EVENTS_LOST, f"{lost} events were lost: the supervisor did not take them")
        if signal.SIGUSR1 in self.signals.take():  # SIGCHLD only wakes the loop: waitpid says which children exited
            self._reopen()
        if self.deadline is None and self.lifeline in events:
            self.deadline = time.monotonic() + self.plan.drain
            self._drain(time.monotonic())

    def _reopen(self) -> None:
        """Reopen the log file here and in all roles; in this process first, so that roles forked later inherit it."""
        if self.plan.reopen:
            self.plan.reopen()
            for child in self.children:
                if child.pid and child.status is None:  # not reaped, so the pid is still the child's
                    os.kill(child.pid, signal.SIGUSR1)

    def _missing(self, child: Child) -> bool:
        expected = child.wanted or (bool(child.leaving) and self.plan.bound(child.role))
        return not child.pid and expected and child.role.stage > self.ended and not self._too_early(child)

    def _too_early(self, child: Child) -> bool:
        """Whether a front has to wait. Beside another generation, which serves, it accepts no client before every
        worker has been ready: the clients would wait for the app's import, and be lost if that fails."""
        alone = not child.role.stage and not child.role.rows
        waits = self.plan.beside and alone and not self.announced and self.deadline is None
        return waits and any(each.ready is None for each in self.roster.workers if each.wanted)

    # Exits

    def _handle_exits(self, now: float) -> None:
        running = {child.pid: child for child in self.children if child.pid}
        for child in running.values():
            if child.status is None:  # otherwise an earlier turn has reaped it, and failed before it could act on that
                child.status = reap(child.pid)
        reports, _ = receive(self.reports)  # after reaping, so that the last report of every exited child is among them
        for report in reports:
            if report.pid not in running:
                log.error("process %d, which a role forked, failed: %s", report.pid, report.text)
            elif report.kind == "ready":
                self._ready(running[report.pid], now)
            else:
                self._failed(running[report.pid], report)
        for child in running.values():
            if child.status is not None:
                self._died(child, child.status, now)

    def _ready(self, child: Child, now: float) -> None:
        child.ready = now
        text = f"{child.name} (pid {child.pid}) is ready after {now - child.born:.1f} s"
        self.events.record(Kind.ROLE_READY, text, role=child.role.name, pid=child.pid)
        self.proven.add(child.role.stage)
        if not child.leaving:
            self.plan.ready(child.role)
        if not self.announced and all(child.ready is not None for child in self.children if child.wanted):
            self.announced = True
            self.outbox.send(Report("ready"))

    def _failed(self, child: Child, report: Report) -> None:
        if child.role.stage in self.proven or self.deadline is not None:
            text = f"{child.name} (pid {child.pid}) failed before it was ready: {report.text}"
            where = {"role": child.role.name, "pid": child.pid, "reason": report.summary or report.text}
            self.events.record(Kind.ROLE_FAILED, text, logging.ERROR, **where)
        elif self.status != BOOT_FAILED:
            self._give_up(report)

    def _died(self, child: Child, status: int, now: float) -> None:
        stage, pid, was_ready, ended = child.role.stage, child.pid, child.ready is not None, cause(status)
        reason = OVERDUE_REASON if child.killed else None
        age, served = child.exited(now)
        self.plan.died(child.role, pid)
        where = {"role": child.role.name, "pid": pid, **ending(status)}
        if stage <= self.ended:
            text = f"{child.name} (pid {pid}) {ended} while draining"
            unexpected = status and not self.status
            kind, level = (Kind.ROLE_DIED, logging.WARNING) if unexpected else (Kind.ROLE_ENDED, None)
            self.events.record(kind, text, level, reason="draining", **where)
            if unexpected:
                self.status = FORCED
            return
        owes = self.plan.bound(child.role) and ((status and not child.finished) or self.plan.owes(child.role))
        if child.leaving and not owes:
            text = f"{child.name} (pid {pid}) has left: {child.leaving}"
            level = logging.WARNING if status else None
            self.events.record(Kind.ROLE_ENDED, text, level, reason=child.leaving, **where)
            self._has_left(child)
            return
        self.early[stage] += not was_ready
        if stage not in self.proven and self.early[stage] >= EARLY_DEATHS and self.deadline is None:
            text = f"{child.name} {ended}; {self.early[stage]} processes of its kind ended before any was ready"
            self._give_up(Report("failed", text))
            return
        delay = child.policy.delay(served)
        child.due = now + delay
        text = f"{child.name} (pid {pid}) {ended} after {age:.1f} s; restarting {when(delay)}"
        self.events.record(Kind.ROLE_DIED, text, logging.WARNING, reason=reason, **where)

    def _give_up(self, report: Report) -> None:
        """This generation cannot start: report the reason to the supervisor, and kill every role."""
        self.outbox.send(report)
        self.status = BOOT_FAILED
        self._kill()

    def _kill(self) -> None:
        self.ended = LAST_STAGE
        for child in self.children:
            if child.pid and child.status is None:  # not reaped, so the pid is still the child's
                os.kill(child.pid, signal.SIGKILL)

    # Children that take too long

    def _end_overdue(self, now: float) -> None:
        """End processes whose request takes longer than ``timeouts.request``: blocking code cannot be interrupted. One
        whose other threads go on is replaced first, and ended when it has finished everything else. The plan decides
        what the clients of overdue requests get, when the exit is handled."""
        if self.plan.request is None:
            return
        draining = self.deadline is not None
        for child in self.children:
            if not child.pid or child.status is not None or child.asked:
                continue
            overdue = self.plan.overdue(child.role, draining=draining)
            if overdue is None:
                continue
            if overdue.stuck:
                self._say_overdue(child, overdue, "killed")
            elif not (draining or child.told):
                self._replace_overdue(child, overdue, now)
                continue
            elif overdue.others or now < self._drains_since(child) + CHECK_SECONDS:  # until it has heard of it
                continue
            child.end_overdue(now, partial(self.plan.occupied, child.role), finished=not overdue.stuck)

    def _drains_since(self, child: Child) -> float:
        """When a process was told to leave, or to stop with the others."""
        return (child.deadline if self.deadline is None else self.deadline) - self.plan.drain

    def _replace_overdue(self, child: Child, overdue: Lateness, now: float) -> None:
        """Have a process replaced. If that fails, or takes long because others are replaced first, it is logged from
        time to time, and tried again."""
        if child.leaving or now < child.overdue_again:
            return
        again = child.wait_for_successor(now + REPLACE_AGAIN_SECONDS)
        self._say_overdue(child, overdue, "still not replaced; trying again" if again else "replacing it")
        if child.works and self.roster.state.replaces:
            self.roster.recycle([child], OVERDUE_REASON)
        else:  # by the next generation
            self.outbox.send(Report("recycle", f"{child.name}: {OVERDUE_REASON}"))

    def _say_overdue(self, child: Child, overdue: Lateness, then: str) -> None:
        spent = f"spent {overdue.seconds:.1f} s on a request (timeouts.request: {self.plan.request:g} s)"
        where = {"role": child.role.name, "pid": child.pid, "reason": OVERDUE_REASON}
        self.events.record(Kind.ROLE_OVERDUE, f"{child.described} {spent}; {then}", logging.ERROR, **where)

    def _end_slow(self, now: float) -> None:
        for child in self.children:
            if child.pid and child.status is None:
                child.end_slow(now)

    def _kill_hanging(self, now: float) -> None:
        """Make a front that does not return from plugin code log its traceback, then kill it.

        The next generation serves new clients, while the workers of this one finish their requests in flight.
        A stop does not wait for such a front either; but threads in the same process get the time to drain.
        """
        if not self.plan.guards or self.plan.hanging() < HUNG_SECONDS:
            return
        stopping = self.deadline is not None
        for child in self.children:
            front = child.role.stage == 0 and not (stopping and child.role.rows)
            if front and child.pid and child.status is None and not child.killed:
                self._kill_front(child, stopping)
        if not stopping:
            self.deadline = now + self.plan.drain
            self._drain(now)

    def _kill_front(self, child: Child, stopping: bool) -> None:
        child.killed = True
        os.kill(child.pid, signal.SIGUSR2)  # it writes its traceback to the log (see faulthandler)
        sleep(TRACEBACK_SECONDS)
        message = f"{child.described} spent {self.plan.hanging():.1f} s in plugin code; killed"
        if stopping:
            where = {"role": child.role.name, "pid": child.pid, "reason": "plugin code"}
            self.events.record(Kind.FRONT_HUNG, message, logging.ERROR, **where)
        else:
            self.outbox.send(Report("hung", message))
        os.kill(child.pid, signal.SIGKILL)

    # Workers that come and go

    def _take_orders(self) -> None:
        orders, ended = receive_orders(self.supervisor) if not self.orders_end else ([], True)
        self.orders_end = ended
        for order in orders:
            if order.do == "change":
                self.change = ValueChange(order, self.plan, self.children, time.monotonic())
                self.change.begin()
            else:
                self.roster.obey(order)

    def _change_values(self, now: float) -> None:
        """Take the next steps of a change of values, and report its end."""
        change = self.change
        if change is None:
            return
        if self.deadline is not None:
            change.give_up("the generation is ending")
        if change.turn(now):
            self._renew_limits()
        if change.step is ChangeStep.OVER:
            self.change = None
            self.outbox.send(Report("changed", change.failure))

    def _renew_limits(self) -> None:
        """Use the plan's limits on the pool as they are now."""
        plan = self.plan
        if self.elastic and plan.scale:
            self.elastic.limit_by(plan.scale)
        if self.recycling and plan.recycle:
            self.recycling.limit_by(plan.recycle)
        else:
            self.recycling = Recycling(plan.recycle) if plan.recycle else None

    def _change_workers(self, now: float) -> None:
        """Take the next steps of what the roster has begun, and report what has changed."""
        roster = self.roster
        if self.recycling and now >= self.recycling.due:
            self._recycle(self.recycling, now)
        if self.elastic and now >= self.elastic.due:
            self._fit_to_load(self.elastic, now)
        roster.step(now)
        for child in roster.workers:
            if child.leaving and not child.told:
                self._tell_to_leave(child, now)
            if child.pid and now >= child.deadline and child.status is None:
                text = f"{child.described} had not left after {self.plan.drain:g} s; killed"
                where = {"role": child.role.name, "pid": child.pid, "reason": "timeouts.drain"}
                self.events.record(Kind.DRAIN_EXPIRED, text, logging.WARNING, **where)
                child.end(now, partial(self.plan.occupied, child.role))
        if roster.state != self.told:
            self.told = roster.state
            self.plan.sized(self.told.size)
            self.outbox.send(Report("pool", pool=self.told.sent()))

    def _fit_to_load(self, elastic: Elastic, now: float) -> None:
        """Scale to what the load needs, unless an operator has chosen a size."""
        roster = self.roster
        load = self.plan.load([child.role for child in roster.workers if child.serves])
        size = elastic.look(now, roster.size, load)
        if size == roster.size or not roster.automatic or roster.replacement:
            return
        if size > roster.size and not self._affords(elastic, roster.size):
            elastic.pause(now + SAMPLE_SECONDS)
            return
        waiting = "" if load.waiting is None else f" and {load.waiting} waiting"
        grows = f"{load.busy} requests in flight{waiting}"
        why = grows if size > roster.size else f"no more were needed for {elastic.window:g} s"
        text = f"{self.plan.name}: {roster.size} -> {size} workers: {why}"
        self.events.record(Kind.POOL_SCALED, text, logging.INFO, reason=why)
        roster.scale(size, why)

    def _affords(self, elastic: Elastic, size: int) -> bool:
        """Whether the pool may grow: its processes use less memory than ``scale.memory``."""
        if elastic.limits.memory is None:
            return True
        used = sum(self.memory.of(child.pid) or 0 for child in self.children if child.pid)
        if used < elastic.limits.memory:
            return True
        text = f"{self.plan.name} stays at {size} workers: they use {used >> 20} MiB (scale.memory)"
        self.events.record(Kind.POOL_SCALED, text, logging.WARNING, reason="scale.memory")
        return False

    def _recycle(self, recycling: Recycling, now: float) -> None:
        """Have the workers replaced that are due. If this generation has no number for a successor the supervisor
        starts the next one."""
        serving = {child.pid: child for child in self.children if child.role.rows and child.serves}
        figures = [
            WorkerFigures(pid, child.ready or now, self.plan.requests(child.role)) for pid, child in serving.items()
        ]
        for pid, reason in recycling.look(now, figures):
            if self.roster.state.replaces:
                self.roster.recycle([serving[pid]], reason)
            elif not self.replaced:
                self.replaced = True  # by the next generation
                self.outbox.send(Report("recycle", f"{serving[pid].name}: {reason}"))

    def _tell_to_leave(self, child: Child, now: float) -> None:
        """Make a worker leave; one that has tasks of its own but no process gets one that serves them first."""
        bound = self.plan.bound(child.role)
        if not child.pid and not bound:
            self._has_left(child)
        elif not child.pid and child.stillborn >= STILLBORN:
            self.plan.abandon(child.role)
            text = f"{child.name} has left: none of its successors lived to serve what waited for it"
            self.events.record(Kind.ROLE_ENDED, text, logging.ERROR, role=child.role.name, reason=child.leaving)
            self._has_left(child)
        elif not child.pid:
            self.plan.leaves(child.role, 0)
        elif child.ready is None and bound:  # a successor must first serve what waits
            child.limit_start(now + self.plan.drain)
        else:
            text = f"{child.name} (pid {child.pid}) leaves: {child.leaving}"
            where = {"role": child.role.name, "pid": child.pid, "reason": child.leaving}
            self.events.record(Kind.ROLE_LEAVES, text, logging.INFO, **where)
            self.plan.leaves(child.role, child.pid)
            child.tell_to_leave(now + self.plan.drain)

    def _has_left(self, child: Child) -> None:
        child.has_left()
        self.plan.left(child.role)

    # Starts

    def _fork_missing(self, now: float) -> None:
        starting = sum(bool(child.pid) and child.ready is None for child in self.children)
        for child in self.children:
            if self.plan.surge is not None and starting >= self.plan.surge:
                return  # the next one when one of these is ready
            if self._missing(child) and child.due <= now:
                starting += 1
                try:
                    self._fork(child, now)
                except OSError as error:
                    delay = max(child.policy.delay(0.0), child.policy.first)
                    child.due = now + delay
                    text = f"cannot fork {child.name}: {error}; retrying {when(delay)}"
                    where = {"role": child.role.name, "reason": str(error)}
                    self.events.record(Kind.FORK_FAILED, text, logging.ERROR, **where)
                    self.roster.forked(f"cannot fork {child.name}: {error.strerror}")
                else:
                    self.roster.forked()
                    text = f"{child.name} (pid {child.pid}) started"
                    self.events.record(Kind.ROLE_STARTED, text, role=child.role.name, pid=child.pid)

    def _fork(self, child: Child, now: float) -> None:
        """Fork a process for a role. Raises OSError."""
        if child.works:
            self.plan.starts(child.role)
        pipes = Pipes()
        try:
            leave, leaver = pipes.make(child.works)
            channel, ours = pipes.channel()
            pid = fork(partial(self._become, child, leave, channel, (leaver, ours)))
        except OSError:
            pipes.close_all()
            raise
        child.started(pid, now, leaver, ours)
        pipes.close_readers()

    def _become(self, child: Child, leave: int, channel: int, mine: tuple[int, int]) -> int:
        """In the new process: close every descriptor that the role does not keep, and run the role. ``leave``,
        ``channel``: see Life; ``mine``: the other ends, which the mold keeps."""
        role = child.role
        self.signals.close()
        self.supervisor.close()
        self.reports.close()
        close(self.lifeline)
        others = [reader for stage, reader in enumerate(self.readers) if stage not in (0, role.stage)]
        kept = [each for other in self.children for each in (other.leaver, other.channel)]
        others += [each for each in (*mine, *kept) if each >= 0]
        for descriptor in (*others, *self.writers[self.ended + 1 :], *(self.plan.owned - role.keeps)):
            close(descriptor)
        if self.plan.reopen:
            on_reopen(self.plan.reopen)
        reader, stop = self.readers[role.stage], self.readers[0]
        links = {reader, stop, leave, channel, self.reporter.fileno(), self.presence} - {-1}
        forked.hold({*role.keeps, *self.plan.inherited, *links}, only=True)
        return play(role, reader, self.plan, self.reporter, stop, leave=leave, place=child.place, channel=channel)

    # Stops

    def _drain(self, now: float) -> None:
        """End the next stage when all roles of earlier stages have exited; kill everything at the deadline."""
        if self.deadline is None:
            return
        while self.ended < LAST_STAGE and not any(
            child.pid and child.role.stage <= self.ended for child in self.children
        ):
            self.ended += 1
            if self.ended:
                self.plan.close_for(self.ended)
            close(self.writers[self.ended])
        if now >= self.deadline and not self.forced:
            self.forced = True
            self._end_busy(now)

    def _end_busy(self, now: float) -> None:
        busy = [child.described for child in self.children if child.pid]
        if busy and self.status != BOOT_FAILED:
            text = f"still busy after draining for {self.plan.drain:g} s; killed: {', '.join(busy)}"
            self.events.record(Kind.DRAIN_EXPIRED, text, logging.WARNING, reason="timeouts.drain")
            self.status = FORCED
        self.ended = LAST_STAGE
        for child in self.children:
            if child.pid and child.status is None:  # not reaped, so the pid is still the child's
                child.end(now, partial(self.plan.occupied, child.role))
