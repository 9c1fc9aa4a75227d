"""A command to a running server, and the transaction that carries it out.

Writing a command
    A `Command` in the table names a function `begin(transaction, arguments)`. It answers at once with
    `transaction.finish(...)`, raises `Refused`, or leaves the transaction to finish later:

        def reload(transaction, arguments):
            transaction.say("starting generation 2")
            transaction.proceed(step, at_end)  # see there

        def step(now):                  # called at the end of each turn of the loop
            transaction.wake_at(now + 1.0)  # the loop wakes by then, if nothing else wakes it earlier

        ... transaction.finish(0, "generation 2 serves", seconds=3.2)  # {"exit": 0, "result": {"text": ..., ...}}
        ... transaction.fail("generation 2 is not ready", "see the log", 1)

    `say` and `finish` may be called from anywhere in the supervisor at any time. One transaction that changes the
    server runs at a time; further ones are refused with the name of the one at work, unless their command is `always`
    accepted (stop): whoever writes a long transaction looks at `Supervisor.stopping` in its step. A changing
    transaction continues without its client, and its end is logged; any other is dropped with its client.
    `Control.start` begins a transaction without a client, for a signal. An error that a command raises ends that
    transaction alone, and is logged with its traceback.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from poolctl.supervision.control_client import ClientPhase, ControlClient
from poolctl.supervision.control_socket import PROTOCOL_VERSION
from poolctl.supervision.events import Events, Kind

log = logging.getLogger("poolctl")

COMMAND_FAILED, WRONG_USE = 1, 2  # exit codes
SAY_SECONDS = 1.0  # between two lines about the progress of a command
LONGEST_WAIT_SECONDS = 86400.0  # that a caller may ask for
REASON_CHARACTERS = 200  # of a reason that the caller gives


class Refused(Exception):
    """Raised by a command that does not do what it was asked. ``fix``: what to do instead; may be empty."""

    def __init__(self, error: str, fix: str = "", exit_code: int = COMMAND_FAILED) -> None:
        super().__init__(error)
        self.error, self.fix, self.exit_code = error, fix, exit_code


@dataclass(frozen=True)
class Command:
    """One command. ``changes``: it changes the server, so `control: read` refuses it, and it runs alone; ``always``: it
    does not wait for another change; ``joins``: whether it goes along with the one at work. ``arguments``: the type of
    each argument; all are optional."""

    name: str
    begin: Callable[[Transaction, dict[str, Any]], None]
    changes: bool = True
    always: bool = False
    joins: Callable[[Transaction], bool] = lambda other: False
    arguments: Mapping[str, type] = field(default_factory=dict)


class Transaction:
    """A command at work. ``who``: who asked for it. Times are monotonic seconds."""

    def __init__(
        self, command: Command, who: str, events: Events, client: ControlClient | None = None, *, quiet: bool = False
    ) -> None:
        """``quiet``: the log has its lines at the level debug only, since whoever began it tells of it."""
        self.command, self.who, self.client, self._quiet = command, who, client, quiet
        self.started = time.monotonic()
        self.due = inf  # when the loop must wake for the next step
        self._step: Callable[[float], None] | None = None
        self._at_end: Callable[[], None] | None = None
        self.exit_code: int | None = None  # once it is finished
        self._events = events

    def proceed(self, step: Callable[[float], None], at_end: Callable[[], None] | None = None) -> None:
        """Finish later. ``step`` is called with the time (monotonic seconds) at the end of each turn of the loop until
        the transaction is finished; ``at_end`` if the supervisor ends first: without it the answer is an error."""
        self._step, self._at_end = step, at_end

    def wake_at(self, moment: float) -> None:
        """Make the loop wake by this moment for the next step, once."""
        self.due = moment

    def take_step(self, now: float) -> None:
        """Called by the control socket in each turn."""
        if now >= self.due:
            self.due = inf
        if self._step:
            self._step(now)

    def server_ended(self) -> None:
        """Called by the control socket when the supervisor has ended."""
        if self._at_end:
            self._at_end()

    def say(self, text: str, /, **figures: Any) -> None:
        """Report progress to the client, if there still is one; of a transaction that a signal began, to the log."""
        if self.client is None:
            log.log(self.level(logging.INFO), "%s: %s", self.command.name, text)
        self.send({"says": text, **figures})

    def send(self, line: dict[str, Any]) -> None:
        """Send a line that is not the last to the client, if there still is one."""
        if self.client and self.exit_code is None:
            self.client.send(line, time.monotonic())

    def finish(self, exit_code: int = 0, text: str = "", /, **result: Any) -> None:
        """Send the last line, with a result; ``text`` is for people, and for the log. Only the first call of this or
        `fail` counts."""
        self._end(exit_code, text, {"result": {"text": text, **result} if text else result})

    def fail(self, error: str, fix: str = "", exit_code: int = COMMAND_FAILED) -> None:
        """Send the last line, with an error, which may have several lines, and what to do about it."""
        self._end(exit_code, error, {"error": error, "fix": fix})

    def _end(self, exit_code: int, text: str, line: dict[str, Any]) -> None:
        if self.exit_code is not None:
            return
        self.exit_code = exit_code
        if self.client:
            self.client.send(last_line(exit_code, **line), time.monotonic(), last=True)
        if self.command.changes:
            ended = f"{self.command.name} ({self.who}) ended after {self.seconds:.1f} s with exit code {exit_code}"
            level = self.level(logging.WARNING if exit_code else logging.INFO)
            where = {"command": self.command.name, "status": exit_code, "reason": text or None}
            self._events.record(Kind.COMMAND_DONE, f"{ended}: {text}" if text else ended, level, **where)

    def level(self, usual: int) -> int:
        """Return the level of a line about it in the log."""
        return logging.DEBUG if self._quiet else usual

    def shown(self) -> dict[str, Any]:
        """Return what the status says about it."""
        return {"do": self.command.name, "seconds": round(self.seconds, 3), "who": self.who}

    @property
    def seconds(self) -> float:
        """How long it has been at work."""
        return time.monotonic() - self.started

    @property
    def open(self) -> bool:
        """Whether there is still something to do: it is not finished, and it changes the server or somebody waits."""
        waited_for = self.command.changes or (self.client is not None and self.client.phase is not ClientPhase.CLOSED)
        return self.exit_code is None and waited_for


def last_line(exit_code: int, **more: Any) -> dict[str, Any]:
    """Return the last line of an answer."""
    return {"poolctl": PROTOCOL_VERSION, "done": True, "exit": exit_code, **more}


def one_line_reason(arguments: Mapping[str, Any]) -> str:
    """Return the argument `reason` of a command. Raises Refused."""
    reason: str = arguments.get("reason", "")
    if len(reason) > REASON_CHARACTERS or not reason.isprintable():
        raise Refused(f"a reason is one line of at most {REASON_CHARACTERS} characters", "shorten it")
    return reason


def seconds_to_wait(arguments: Mapping[str, Any]) -> float | None:
    """Return the argument `wait` of a command: how long new processes may take to become ready; None: as the topology
    says. Raises Refused."""
    wait: float | None = arguments.get("wait")
    if wait is not None and not 0 < wait <= LONGEST_WAIT_SECONDS:
        raise Refused(f"wait is not between 0 and {LONGEST_WAIT_SECONDS:g} seconds", "correct the value")
    return wait
