"""What happens to a server, for `poolctl events`: the last 1,000 events, each with its time and its reason.

    supervisor: record() --> log line
                        \\-> Ring <-- added -- Report("event") <-- mold: record() --> log line

Whoever records an event logs it in the same call, so the log and the events cannot differ. The supervisor keeps the
ring, which outlives molds and generations. The mold sends its events over the channel of its reports. An event without
a level has no log line, because it is part of normal work, such as the start of a worker.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import Any

from poolctl.supervision.restart import signal_name

log = logging.getLogger("poolctl")

RING_EVENTS = 1000
TEXT_CHARACTERS = 500  # of a text or a reason; a longer one is truncated
TRACEBACK = "Traceback (most recent call last):"
CONTROL_CHARACTERS = dict.fromkeys((*range(32), *range(127, 160)), " ")  # terminals obey them


class Kind(StrEnum):
    """What can happen, in the words of `poolctl events --format json`. A role is a process that the mold forks: a
    front, a worker, or the process of all threads."""

    SERVER_STARTED = "server-started"
    GENERATION_STARTED = "generation-started"
    GENERATION_READY = "generation-ready"
    GENERATION_FAILED = "generation-failed"  # it cannot start
    VALUES_CHANGED = "values-changed"  # its processes have taken those of a reload
    VALUES_REFUSED = "values-refused"  # they have not, so another generation starts
    GENERATION_ENDED = "generation-ended"  # the last of its processes has ended
    MOLD_DIED = "mold-died"
    ROLE_STARTED = "role-started"
    ROLE_READY = "role-ready"
    ROLE_FAILED = "role-failed"  # before it was ready
    ROLE_LEAVES = "role-leaves"  # it was told to, while others go on
    ROLE_ENDED = "role-ended"  # as it was asked to
    ROLE_DIED = "role-died"
    ROLE_OVERDUE = "role-overdue"  # its request took longer than timeouts.request
    POOL_SCALED = "pool-scaled"  # by itself, or it cannot grow
    FRONT_HUNG = "front-hung"  # in plugin code
    FORK_FAILED = "fork-failed"
    SIGNAL = "signal"
    LOG_REOPENED = "log-reopened"
    COMMAND = "command"  # of a client of the control socket, to change something
    COMMAND_DONE = "command-done"
    DRAIN_STARTED = "drain-started"  # of the whole server, by a command, or its notice
    SERVER_DRAINED = "server-drained"
    STOP_STARTED = "stop-started"
    DRAIN_EXPIRED = "drain-expired"  # processes that were still busy were killed
    SERVER_STOPPED = "server-stopped"
    SERVER_REPLACED = "server-replaced"  # an upgrade: another process is the supervisor
    EVENTS_LOST = "events-lost"  # a mold had more than the supervisor took


@dataclass(frozen=True)
class Event:
    """Something that happened. ``where``: what it happened to, as far as that applies: generation, role, pid, status
    (the exit status) or signal, reason, uid, command."""

    kind: str  # a Kind, or that of another version of poolctl, which an upgrade has replaced
    text: str
    time: float = field(default_factory=time.time)  # seconds since 1970
    where: dict[str, Any] = field(default_factory=dict)
    number: int = 0  # in the order of the ring, from 1 on

    def shown(self) -> dict[str, Any]:
        """Return the event as clients of the control socket receive it."""
        moment = datetime.fromtimestamp(self.time, UTC).isoformat(timespec="milliseconds")
        return {"number": self.number, "time": moment, "kind": self.kind, "text": self.text, **self.where}

    def sent(self) -> dict[str, Any]:
        """Return the event as a mold reports it."""
        return {"kind": self.kind, "text": self.text, "time": self.time, "where": self.where}

    @classmethod
    def received(cls, event: dict[str, Any], generation: int) -> Event:
        """Return an event that the mold of this generation has reported."""
        where = {"generation": generation, **event["where"]}
        return cls(Kind(event["kind"]), event["text"], event["time"], where)


class Events:
    """Records what happens in one process. ``keep`` receives each event."""

    def __init__(self, keep: Callable[[Event], None]) -> None:
        self._keep = keep

    def record(self, kind: Kind, text: str, level: int | None = None, **where: Any) -> None:
        """Log a text at a level (None: not at all), and keep the event. Values of ``where`` that are None do not apply.

        The log gets the whole text, the event one line of it.
        """
        if level is not None:
            log.log(level, "%s", text)
        known = {key: one_line(each) if isinstance(each, str) else each for key, each in where.items()}
        self._keep(Event(kind, one_line(text), where={key: each for key, each in known.items() if each is not None}))


class Ring:
    """The last events of a server."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=RING_EVENTS)
        self.last = 0  # the number of the newest event

    def add(self, event: Event) -> None:
        """Keep an event, numbered, in place of the oldest."""
        self.last += 1
        self._events.append(replace(event, number=self.last))

    def continue_from(self, events: Iterable[Event], last: int) -> None:
        """Put the events of an earlier supervisor before those of this one. ``last``: the number of its newest."""
        own, self.last = list(self._events), last - len(events := list(events))
        self._events.clear()
        for event in [*events, *own]:
            self.add(event)

    def since(self, number: int) -> Iterator[Event]:
        """Return the events that came after the event of this number, oldest first; 0: all that are kept."""
        return islice(self._events, max(0, len(self._events) - (self.last - number)), None)


def one_line(text: str) -> str:
    """Return a text as one line without control characters; of a traceback the last line, which names the error."""
    first, *others = text.strip().splitlines() or [""]
    if others:
        first = f"{first.removesuffix(TRACEBACK).rstrip()} {others[-1].strip()}" if first.endswith(TRACEBACK) else first
    line = " ".join(first.translate(CONTROL_CHARACTERS).split(" ")).strip()
    return line if len(line) <= TEXT_CHARACTERS else f"{line[: TEXT_CHARACTERS - 3]}..."


def ending(status: int) -> dict[str, Any]:
    """Return how a process ended (a result of `os.waitstatus_to_exitcode`) in the words of an event."""
    return {"status": status} if status >= 0 else {"signal": signal_name(-status)}
