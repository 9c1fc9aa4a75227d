"""The control socket: commands to a running server as lines of JSON, and the transactions that carry them out.

    client --- {"poolctl": 1, "do": "stop", "now": false} --------------------------------> supervisor
           <-- {"says": "draining: 3 requests in flight, 1.0 s of 30 s", "in_flight": 3} ---  any number of these
           <-- {"event": {"number": 7, "time": "...", "kind": "signal", "text": "..."}} ----  or of these
           <-- {"poolctl": 1, "done": true, "exit": 0, "result": {...}} --------------------  one; then end of file
            or {"poolctl": 1, "done": true, "exit": 2, "error": "unknown command", "fix": "use one of ..."}

One request per connection, a line of UTF-8 of at most 64 KiB; all its keys beyond `poolctl` and `do` are arguments.
`exit` is what the command of the command line exits with: 0 done; 1 refused or failed; 2 not a valid request. Clients
ignore keys that they do not know; a change that would break them gets a new version.

The socket has mode 0600, and the kernel says who connects: this user and root are answered. Everything is bounded: at
most CLIENTS connections, further ones are refused; see control_client.py for bytes and seconds.

Runs in the supervisor's loop, which has no threads: `interest` and `due` say what to wait for, and `turn` does what can
be done without waiting, as the last step of a turn, so that clients see what the turn has changed.

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

The file is long because clients and transactions share one turn of the loop.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from select import POLLIN, POLLOUT, poll
from typing import Any, Literal

from poolctl.similar import similar
from poolctl.supervision.control_client import ClientPhase, ControlClient
from poolctl.supervision.control_socket import listening, peer_of
from poolctl.supervision.events import Events, Kind

log = logging.getLogger("poolctl")

VERSION = 1
CLIENTS = 16
FLUSH_SECONDS = 2.0  # seconds that the clients have to take their last lines when the supervisor ends
COMMAND_FAILED, WRONG_USE = 1, 2  # exit codes

Mode = Literal["full", "read", "off"]


class Refused(Exception):
    """Raised by a command that does not do what it was asked. ``fix``: what to do instead; may be empty."""

    def __init__(self, error: str, fix: str = "", exit_code: int = COMMAND_FAILED) -> None:
        super().__init__(error)
        self.error, self.fix, self.exit_code = error, fix, exit_code


@dataclass(frozen=True)
class Command:
    """One command. ``changes``: it changes the server, so `control: read` refuses it, and it runs alone; ``always``: it
    does not wait for another change. ``arguments``: the type of each argument; all are optional."""

    name: str
    begin: Callable[[Transaction, dict[str, Any]], None]
    changes: bool = True
    always: bool = False
    arguments: Mapping[str, type] = field(default_factory=dict)


class Transaction:
    """A command at work. ``who``: who asked for it. Times are monotonic seconds."""

    def __init__(self, command: Command, who: str, events: Events, client: ControlClient | None = None) -> None:
        self.command, self.who, self.client = command, who, client
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
            log.info("%s: %s", self.command.name, text)
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
            level = logging.WARNING if exit_code else logging.INFO
            where = {"command": self.command.name, "status": exit_code, "reason": text or None}
            self._events.record(Kind.COMMAND_DONE, f"{ended}: {text}" if text else ended, level, **where)

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
    return {"poolctl": VERSION, "done": True, "exit": exit_code, **more}


class Control:
    """The supervisor's end of the control socket. Without a socket it still runs transactions that signals begin."""

    def __init__(self, name: str, commands: Iterable[Command], events: Events, mode: Mode = "full") -> None:
        """``name``: the server's. A socket that cannot be created is logged, and the server runs without it."""
        self.commands = {command.name: command for command in commands}
        self.mode, self._events = mode, events
        self.sock: socket.socket | None = None
        self.path = ""
        self.clients: list[ControlClient] = []
        self.transactions: list[Transaction] = []
        if mode == "off":
            return
        try:
            self.sock, self.path = listening(name)
        except OSError as error:
            log.info("no control socket, so poolctl status cannot see this server: %s", error)

    @property
    def at_work(self) -> Transaction | None:
        """The transaction that is changing the server, if there is one."""
        return next((each for each in self.transactions if each.command.changes and each.open), None)

    # The loop

    def interest(self) -> dict[int, int]:
        """Return the descriptors to poll, and the events for each."""
        if self.sock is None:
            return {}
        self._forget()  # those that were closed since the last turn
        return {self.sock.fileno(): POLLIN} | {client.fileno(): client.interest() for client in self.clients}

    def due(self) -> float:
        """Return when `turn` must be called at the latest, in monotonic seconds."""
        times = [client.deadline for client in self.clients] + [each.due for each in self.transactions]
        return min(times, default=inf)

    def turn(self, ready: set[int]) -> None:
        """Serve the descriptors that are ready, end what is too late, and take the next step of each transaction."""
        now = time.monotonic()
        for client in self.clients:
            if client.fileno() in ready or now >= client.deadline:
                self._serve_safely(client, now, client.fileno() in ready)
        if self.sock and self.sock.fileno() in ready:
            self._accept(self.sock, now)
        for transaction in [each for each in self.transactions if each.open]:
            self._guarded(transaction, transaction.take_step, now)
        self._forget()

    def _forget(self) -> None:
        self.clients = [client for client in self.clients if client.phase is not ClientPhase.CLOSED]
        self.transactions = [each for each in self.transactions if each.open]

    def _accept(self, listener: socket.socket, now: float) -> None:
        for _ in range(CLIENTS):
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                log.error("cannot accept on the control socket: %s", error)
                return
            self._welcome(sock, now)

    def _welcome(self, sock: socket.socket, now: float) -> None:
        try:
            client = ControlClient(sock, peer_of(sock), now)
        except OSError:  # it has disconnected
            sock.close()
            return
        if client.peer.uid not in (0, os.getuid()):
            log.warning("refused a client of the control socket (%s)", client.peer)
            line = last_line(
                COMMAND_FAILED, error=f"uid {client.peer.uid} may not control this server", fix="use its user, or root"
            )
        elif len([each for each in self.clients if each.phase is not ClientPhase.CLOSED]) >= CLIENTS:
            line = last_line(
                COMMAND_FAILED, error=f"{CLIENTS} clients use this control socket", fix="end one of them, or try again"
            )
        else:
            self.clients.append(client)
            return
        client.send(line, now, last=True)
        client.close()  # the line fits into the socket's buffer

    # One client

    def _serve_safely(self, client: ControlClient, now: float, ready: bool) -> None:
        """The error boundary of a client."""
        try:
            self._serve(client, now, ready)
        except Exception:
            log.exception("disconnected a client of the control socket (%s)", client.peer)
            client.close()

    def _serve(self, client: ControlClient, now: float, ready: bool) -> None:
        if client.phase is not ClientPhase.ASKING:
            client.flush() if ready and client.interest() & POLLOUT else client.close()
            return
        try:
            line = client.read() if ready else None
        except ValueError as error:
            client.send(last_line(WRONG_USE, error=str(error), fix="send a shorter line"), now, last=True)
            return
        if line is not None:
            self._ask(client, line, now)
        elif now >= client.deadline and client.phase is ClientPhase.ASKING:
            late = last_line(WRONG_USE, error="no complete request arrived in time", fix="send one line of JSON")
            client.send(late, now, last=True)

    def _ask(self, client: ControlClient, line: bytes, now: float) -> None:
        try:
            command, arguments = self._parsed(line)
        except Refused as refused:
            client.send(last_line(refused.exit_code, error=refused.error, fix=refused.fix), now, last=True)
            return
        self._begin(Transaction(command, str(client.peer), self._events, client), arguments)

    def _parsed(self, line: bytes) -> tuple[Command, dict[str, Any]]:
        """Return the command of a request and its arguments. Raises Refused."""
        example = 'send {"poolctl": 1, "do": "status"}'
        try:
            request = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Refused(f"the request is not JSON: {error}", example, WRONG_USE) from None
        if not isinstance(request, dict) or not {"poolctl", "do"} <= request.keys():
            raise Refused("the request is not an object with the keys poolctl and do", example, WRONG_USE)
        version, name = request.pop("poolctl"), request.pop("do")
        if type(version) is not int or version != VERSION:
            fix = "use the poolctl command of the version that runs the server"
            raise Refused(
                f"unknown protocol version {version!r:.20}; this server speaks version {VERSION}", fix, WRONG_USE
            )
        command = self.commands.get(name) if isinstance(name, str) else None
        if command is None:
            near = similar(name, self.commands) if isinstance(name, str) else None
            fix = f'did you mean "{near}"?' if near else f"use one of {', '.join(self.commands)}"
            raise Refused(f"unknown command {name!r:.40}", fix, WRONG_USE)
        for key, value in request.items():
            kind = command.arguments.get(key)
            if kind is None:
                known = f"it has {', '.join(command.arguments)}" if command.arguments else "it has none"
                raise Refused(f"{command.name} has no argument {key!r:.40}", known, WRONG_USE)
            if type(value) is not kind and not (kind is float and type(value) is int):
                raise Refused(f"{command.name}: {key} is not of type {kind.__name__}", "correct the value", WRONG_USE)
        return command, request

    # Transactions

    def start(self, name: str, arguments: dict[str, Any], who: str) -> Transaction:
        """Begin a transaction without a client, and return it. ``who``: what asked for it, for instance SIGHUP. If it
        is refused the log says why."""
        transaction = Transaction(self.commands[name], who, self._events)
        self._begin(transaction, arguments)
        return transaction

    def _begin(self, transaction: Transaction, arguments: dict[str, Any]) -> None:
        command = transaction.command
        if command.changes:
            text, peer = (
                f"{command.name}, asked for by {transaction.who}",
                transaction.client and transaction.client.peer,
            )
            where = {"uid": peer.uid, "asked_by": peer.pid} if peer else {}
            self._events.record(Kind.COMMAND, text, logging.INFO, command=command.name, **where)
        try:
            self._admit(transaction)
        except Refused as refused:
            transaction.fail(refused.error, refused.fix, refused.exit_code)
            return
        self.transactions.append(transaction)
        self._guarded(transaction, command.begin, transaction, arguments)

    def _admit(self, transaction: Transaction) -> None:
        """Raise Refused if the transaction may not begin."""
        command, other = transaction.command, self.at_work
        if command.changes and self.mode == "read" and transaction.client:
            fix = "set control: full, or send a signal to the supervisor"
            raise Refused(f"{command.name} is not allowed by control: read", fix)
        if command.changes and other and not command.always:
            since = f"{other.command.name} has been at work for {other.seconds:.1f} s ({other.who})"
            raise Refused(since, "wait until it has ended")

    def _guarded(self, transaction: Transaction, call: Callable[..., None], *arguments: Any) -> None:
        """The error boundary of a transaction."""
        try:
            call(*arguments)
        except Refused as refused:
            transaction.fail(refused.error, refused.fix, refused.exit_code)
        except Exception as error:
            log.exception("the command %s failed", transaction.command.name)
            transaction.fail(f"{transaction.command.name} raised {type(error).__name__}", "see the server's log")

    # The end

    def end(self, reading: bool) -> None:
        """The server has stopped: finish the transactions that change it, or, with ``reading``, the others."""
        for transaction in [each for each in self.transactions if each.open and each.command.changes is not reading]:
            self._guarded(transaction, transaction.server_ended)
            transaction.fail("the server has stopped")
        self._forget()

    def close(self) -> None:
        """Remove the socket, and close all connections once their clients have taken their last lines."""
        if self.sock is None:
            return
        self.sock.close()
        self.sock = None
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        until = time.monotonic() + FLUSH_SECONDS
        while (left := [each for each in self.clients if each.interest() & POLLOUT]) and time.monotonic() < until:
            poller = poll()
            for client in left:
                poller.register(client.fileno(), POLLOUT)
            ready = {fd for fd, _ in poller.poll(FLUSH_SECONDS * 1000 / 10)}
            for client in left:
                if client.fileno() in ready:
                    client.flush()
        self._close_all()

    def close_inherited(self) -> None:
        """In a forked process: close the copies of the descriptors, which belong to the supervisor."""
        if self.sock is not None:
            self.sock.close()
        self._close_all()

    def _close_all(self) -> None:
        for client in self.clients:
            client.close()
        self.clients = []
