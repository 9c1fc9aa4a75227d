"""Batches of sequences against one target, each followed by the oracle; what fails is narrowed down to one sequence."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from harness.machine import within
from harness.server import PATIENCE, Serve

from fuzz import http1, http2, plain, proxy, tls, websocket
from fuzz.driver import Attempt, Door, drive
from fuzz.oracle import CORRECT, Broken, Oracle
from fuzz.sequence import Sequence
from fuzz.targets import Target, certificate, prepare

SEED = int(os.environ.get("POOLCTL_FUZZ_SEED", "12"))
ONLY = os.environ.get("POOLCTL_FUZZ_ONLY", "")
FACTOR = float(os.environ.get("POOLCTL_FUZZ_FACTOR", "1"))
BATCH = 120
MAKERS: dict[str, Callable[[Random], Sequence]] = {
    "http1": http1.make,
    "http2": http2.make,
    "websocket": websocket.make,
    "lines": plain.lines,
    "frames": plain.frames,
    "stream": plain.stream,
}
TIMES = {"websocket": 5, "lines": 2, "frames": 2}  # spoken by fewer servers than the others
DOORS = {"tls": tls.make, "proxy": proxy.make}
KNOWN = {"http2": http2.known, "websocket": websocket.known}
Work = tuple[Sequence, Door]


def sequence(kind: str, number: int, target: Target) -> Sequence:
    """The sequence of this number, of a protocol or of a door."""
    random = Random(f"{SEED} {kind} {number}")
    if kind in DOORS:
        protocol = random.choice(target.protocols)
        made = DOORS[kind](random, CORRECT[protocol](number))
    else:
        made = MAKERS[kind](random)
    made.name = f"{kind} {number} of seed {SEED}"
    return made


def works(target: Target, doors: list[Door], first: int, count: int) -> Iterator[Work]:
    """So many sequences of each protocol and each kind of door, mixed."""
    for turn in range(first, first + count):
        for kind in (*target.protocols, *DOORS):
            times = TIMES.get(kind, 1)
            for number in [int(ONLY)] if ONLY else range(turn * times, (turn + 1) * times):
                yield sequence(kind, number, target), _door(kind, number, doors)
    for kind in target.protocols if first == 0 else ():
        for known in KNOWN.get(kind, list)():
            yield from ((known, door) for door in doors)


def _door(kind: str, number: int, doors: list[Door]) -> Door:
    random = Random(f"{SEED} door {kind} {number}")
    if kind == "tls":
        return random.choice([door for door in doors if door.tls])
    if kind == "proxy":
        door = random.choice([door for door in doors if door.proxy])
        return Door(door.port, door.tls)  # the client says itself for whom it comes
    return random.choices(doors, (3, 1, 1, 1))[0]


@dataclass
class Result:
    """Sequences that were done, and what was found: each as a text."""

    done: int = 0
    found: list[str] = field(default_factory=list)


@contextlib.contextmanager
def running(target: Target, start: Serve) -> Iterator[Oracle]:
    """A server of this target, and its oracle."""
    with TemporaryDirectory(prefix="pf") as made, TemporaryDirectory(prefix="pr") as runtime:
        folder = Path(made)
        prepare(folder)
        environment = {"RUNTIME_DIRECTORY": runtime}
        server = start(
            target.topology(folder), environment=environment, tracebacks=True, path=Path(__file__).parent / "apps"
        )
        oracle = Oracle(server, target, Path(runtime))
        try:
            yield oracle
        finally:
            oracle.close()
            if server.process.poll() is None:
                server.kill_all()


def fuzz(target: Target, start: Serve, count: int) -> Result:
    """So many sequences of each kind. ``found`` is empty where everything held, the drain at the end included."""
    result = Result()
    try:
        with running(target, start) as oracle:
            _fuzz(oracle, start, int(count * FACTOR), result)
    except Broken as broken:
        result.found.append(f"{target}: {broken}")
    return result


def _fuzz(oracle: Oracle, start: Serve, count: int, result: Result) -> None:
    target = oracle.target
    for first in range(0, count, BATCH):
        size = min(BATCH, count - first)
        batch = list(works(target, oracle.doors, first, size))
        try:
            result.found += done(batch, target)[:3]
            result.done += len(batch)
            oracle.check()
        except Broken as broken:
            raise Broken(f"{broken}\n{narrowed(target, start, first, size)}") from broken
    if target.combination.service.owns_connection:
        oracle.close()  # the app has them until they end
    oracle.server.signal(signal.SIGTERM)
    code = oracle.server.wait(within(PATIENCE))
    oracle.log()
    if code:
        raise Broken(f"SIGTERM ended it with {code}:\n{oracle.server.log[-3000:]}")


def done(batch: list[Work], target: Target) -> list[str]:
    """What the clients of a batch complain of."""
    return [complaint(attempt) for attempt in drive(batch, certificate().trusted, target.at_once) if attempt.complaint]


def complaint(attempt: Attempt) -> str:
    return f"{attempt.complaint}\nat {attempt.door}\n{attempt.sequence.shown()}"


def narrowed(target: Target, start: Serve, first: int, size: int) -> str:
    """The sequence of a batch that breaks a server alone, as Python."""
    with contextlib.suppress(Broken), running(target, start) as oracle:
        for number, (made, door) in enumerate(works(target, oracle.doors, first, size)):
            for _ in drive([(made, door)] * 2, certificate().trusted, 1):
                select.select([], [], [], 0.005)  # what it does to the server comes to the log
            try:
                oracle.alive()
                if number % 20 == 19:
                    oracle.newcomers()
            except Broken as broken:
                return f"it is enough to do, at {door},\n{made.shown()}\nwhich gives: {broken}"
    return f"only together, sequences from {first} on of seed {SEED}"
