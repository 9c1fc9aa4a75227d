"""The commands about workers of the control socket: scale, recycle, drain and resume.

    scale    {"to": "12"}        a number, +2, -1, or auto: what the file says
    recycle  {"worker": 3}       without a worker: all, one after the other
    drain    {"worker": 3}       without a worker: the whole server (drain_command.py)
    resume   {"worker": 3}

Each gives an order to the mold and waits until its workers are as they should be. Where a generation cannot have other
workers (roster.py) a new one is started beside it, as in a reload.

The file is long because the four wait in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

from poolctl.supervision.configuration import ExitCode
from poolctl.supervision.drain_command import DrainableServer, DrainServer, ResumeServer
from poolctl.supervision.generation import Generation
from poolctl.supervision.roster import PoolState
from poolctl.supervision.transaction import (
    LONGEST_WAIT_SECONDS,
    SAY_SECONDS,
    Command,
    Refused,
    Transaction,
    one_line_reason,
    seconds_to_wait,
)

MOST_WORKERS = 4096


class PooledServer(DrainableServer, Protocol):
    """What these commands need of the supervisor."""

    generation: Generation | None


def pool_commands(supervisor: PooledServer) -> list[Command]:
    """Return the commands of a supervisor."""

    def command(name: str, kind: type[PoolChange], whole: type[DrainServer | ResumeServer] | None = None, /) -> Command:
        def begin(asked: Transaction, given: Mapping[str, Any]) -> None:
            one = whole is None or "worker" in given or (whole is ResumeServer and supervisor.server_drain.serving)
            (kind if one or whole is None else whole)(supervisor, asked).begin(given)

        def joins(other: Transaction) -> bool:
            return whole is ResumeServer and other.command.name == "drain" and not supervisor.server_drain.serving

        return Command(name, begin, joins=joins, arguments={**kind.arguments, "wait": float})

    return [
        command("scale", Scale),
        command("recycle", Recycle),
        command("drain", DrainWorker, DrainServer),
        command("resume", ResumeWorker, ResumeServer),
    ]


class PoolChange:
    """One command at work. ``arguments``: the type of each, but for ``wait``, which all have."""

    arguments: ClassVar[Mapping[str, type]] = {}

    def __init__(self, supervisor: PooledServer, transaction: Transaction) -> None:
        self._supervisor, self._transaction = supervisor, transaction
        self._generation: Generation
        self._number = 0  # of the order
        self._before = PoolState()
        self._said, self._next = "", -inf
        self._deadline = inf
        self._wait = inf

    def begin(self, given: Mapping[str, Any]) -> None:
        """Begin the change. Raises Refused."""
        generation, drain = self._supervisor.generation, self._supervisor.server_drain
        one_line_reason(given)
        if given.get("worker", 0) < 0:
            raise Refused(f"there is no worker {given['worker']}", "leave worker out for all of them")
        if self._supervisor.stopping or self._supervisor.noticing:
            raise Refused("the server is being stopped")
        if not drain.serving:
            raise Refused(drain.refusal)
        if generation is None or generation.ready is None:
            raise Refused("the server is still starting", "try again when poolctl status says that it is running")
        self._wait = seconds_to_wait(given) or self.patience(generation)
        pool = generation.pool
        if not pool.size:  # its workers are threads of one process, or it has none
            workers = generation.configuration.workers
            pool = replace(pool, size=workers, ready=workers)
        self._generation, self._before = generation, pool
        self._deadline = self._transaction.started + self._wait
        self.ask(given, pool)

    def patience(self, generation: Generation) -> float:
        """Return how long it may take, in seconds, unless the caller says otherwise."""
        return generation.configuration.ready

    def ask(self, given: Mapping[str, Any], pool: PoolState) -> None:
        """Give the order, or finish. Raises Refused."""
        raise NotImplementedError

    def late(self) -> str:
        """The time is up: take back what can be taken back, and return what that means."""
        return "it goes on"

    def done(self, pool: PoolState) -> str:
        """Return what has been done."""
        raise NotImplementedError

    def over(self, pool: PoolState) -> bool:
        """Whether it is done."""
        return pool.settled

    def progress(self, pool: PoolState) -> str:
        """Return what is still to be done."""
        words = [f"{pool.ready} of {pool.size} workers ready"]
        words += [f"{pool.leaving} leaving"] * bool(pool.leaving)
        words += [f"{pool.recycling} to recycle"] * bool(pool.recycling)
        words += [pool.obstacle] * bool(pool.obstacle)
        return ", ".join(words)

    def order(self, do: str, **what: Any) -> None:
        """Give an order to the mold, and wait until it is carried out."""
        self._number = self._generation.order(do, **what)
        if not self._number:
            raise Refused("the mold takes no orders", "see the server's log")
        self._transaction.proceed(self._step)

    def anew(self, size: int) -> None:
        """Start a generation with so many workers beside the current one."""
        configuration = self._supervisor.configuration
        self._supervisor.start_reload(self, wait=self._wait, make=lambda: configuration.resized(size))

    def _step(self, now: float) -> None:
        pool = self._generation.pool
        if self._supervisor.stopping:
            self._transaction.fail("the server is being stopped")
        elif self._supervisor.generation is not self._generation:
            self._transaction.fail("its mold died; the next generation begins anew", "see the server's log")
        elif pool.order >= self._number and pool.refused:
            self._transaction.fail(pool.refused)
        elif pool.order >= self._number and self.over(pool):
            text = f"{self.done(pool)} ({self._transaction.seconds:.1f} s)"
            self._transaction.finish(0, text, seconds=round(self._transaction.seconds, 3), size=pool.size)
        elif now >= self._deadline:
            left = self.progress(pool)
            self._transaction.fail(f"not done within {self._wait:g} s: {left}; {self.late()}", "", int(ExitCode.LATE))
        else:
            self._say(pool, now)
            self._transaction.wake_at(min(now + SAY_SECONDS, self._deadline))

    def _say(self, pool: PoolState, now: float) -> None:
        text = self.progress(pool)
        if pool.order >= self._number and text != self._said and now >= self._next:
            self._said, self._next = text, now + SAY_SECONDS
            self._transaction.say(text)

    # a reload's caller

    def say(self, text: str) -> None:
        """Report progress."""
        self._transaction.say(text)

    def finish(self, code: ExitCode, text: str) -> None:
        """Report the end of the new generation's start."""
        self._supervisor.reloaded(code, text)
        if code:
            self._transaction.fail(text, "", int(code))
        else:
            self._transaction.finish(0, text, seconds=round(self._transaction.seconds, 3))


class Scale(PoolChange):
    """`scale`: as many workers as asked for; idempotent. An elastic pool keeps to a number until ``auto``."""

    arguments = MappingProxyType({"to": str})
    _pinned = True

    def ask(self, given: Mapping[str, Any], pool: PoolState) -> None:
        to, configuration = given.get("to", "auto"), self._supervisor.configuration
        elastic = configuration.most > configuration.workers
        if to == "auto" and elastic:
            self._pinned = False
            self.order("scale", reason="")
            return
        size = self._size(to, pool)
        if size == pool.size and pool.settled and (not elastic or not pool.automatic):
            self._transaction.finish(0, f"it has {_workers(size)} already", seconds=0.0, size=size)
        elif size > pool.most or pool.fixed:
            why = pool.fixed or f"this generation has numbers for {pool.most} workers"
            self._transaction.say(f"{why}, so a new one is needed")
            self.anew(size)
        else:
            self.order("scale", size=size, reason=f"scaled to {_workers(size)} ({self._transaction.who})")

    def _size(self, to: str, pool: PoolState) -> int:
        """Return how many workers are meant. Raises Refused."""
        if to == "auto":
            return self._supervisor.configuration.size
        if not re.fullmatch(r"[+-]?[0-9]{1,5}", to):
            raise Refused(f"{to!r:.40} is not a number of workers", "use for instance 4, +2, -1 or auto")
        size = pool.size + int(to) if to[0] in "+-" else int(to)
        if not 1 <= size <= MOST_WORKERS:
            fix = "choose fewer" if size > MOST_WORKERS else "use stop to end the server"
            raise Refused(f"a pool has between 1 and {MOST_WORKERS} workers, not {size}", fix)
        return size

    def late(self) -> str:
        size = self._before.size
        self._generation.order("scale", size=size, reason=f"scaling took too long; back to {_workers(size)}")
        return f"back to {_workers(size)}"

    def done(self, pool: PoolState) -> str:
        if not self._pinned:
            return f"{_workers(pool.size)}, and from now on as many as the load needs"
        return f"{self._before.size} -> {_workers(pool.size)}"


class Recycle(PoolChange):
    """`recycle`: new processes for one worker, or for all; the replacement is ready first."""

    arguments = MappingProxyType({"worker": int, "reason": str})

    def patience(self, generation: Generation) -> float:
        workers = max(generation.pool.size, 1)
        configuration = generation.configuration
        return min(workers * (configuration.ready + configuration.drain), LONGEST_WAIT_SECONDS)

    def ask(self, given: Mapping[str, Any], pool: PoolState) -> None:
        worker, reason = given.get("worker", -1), given.get("reason", "") or f"recycled ({self._transaction.who})"
        self._count = 1 if worker >= 0 else pool.size
        if pool.replaces:
            self.order("recycle", worker=worker, reason=reason)
        elif worker > 0:
            raise Refused(f"worker {worker} cannot be replaced alone: {pool.fixed}", "recycle without --worker")
        else:
            self.anew(pool.size)

    def done(self, pool: PoolState) -> str:
        return f"{_workers(self._count)} recycled"

    def over(self, pool: PoolState) -> bool:
        return pool.settled


class DrainWorker(PoolChange):
    """`drain`: one worker gets nothing more, and leaves when it has finished what it has."""

    arguments = MappingProxyType({"worker": int, "reason": str})

    def patience(self, generation: Generation) -> float:
        return generation.configuration.drain + generation.configuration.ready

    def ask(self, given: Mapping[str, Any], pool: PoolState) -> None:
        worker = given["worker"]
        if pool.fixed:
            raise Refused(f"no worker can be drained: {pool.fixed}", "scale, recycle, or drain the whole server")
        self._worker = worker
        reason = given.get("reason", "") or f"drained ({self._transaction.who})"
        self.order("drain", worker=worker, reason=reason)

    def done(self, pool: PoolState) -> str:
        return f"worker {self._worker} is drained; {_workers(pool.size)} left"


class ResumeWorker(PoolChange):
    """`resume`: a worker takes the number of one that was drained; without one, of all."""

    arguments = MappingProxyType({"worker": int})

    def ask(self, given: Mapping[str, Any], pool: PoolState) -> None:
        worker = given.get("worker", -1)
        if worker < 0 and not pool.drained:
            self._transaction.finish(0, "no worker is drained", seconds=0.0, size=pool.size)
            return
        self.order("resume", worker=worker)

    def done(self, pool: PoolState) -> str:
        return f"{_workers(pool.size)} again"


def _workers(count: int) -> str:
    return f"{count} worker" if count == 1 else f"{count} workers"
