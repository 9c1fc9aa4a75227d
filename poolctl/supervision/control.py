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

transaction.py has the commands, and how to write one.

The file is long because clients and transactions share one turn of the loop.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterable
from math import inf
from select import POLLIN, POLLOUT, poll
from typing import Any, Literal

from poolctl.similar import similar
from poolctl.supervision.control_client import ClientPhase, ControlClient
from poolctl.supervision.control_socket import PROTOCOL_VERSION, listening, peer_of
from poolctl.supervision.events import Events, Kind
from poolctl.supervision.transaction import COMMAND_FAILED, WRONG_USE, Command, Refused, Transaction, last_line

log = logging.getLogger("poolctl")

CLIENTS = 16
FLUSH_SECONDS = 2.0  # seconds that the clients have to take their last lines when the supervisor ends

Mode = Literal["full", "read", "off"]


class Control:
    """The supervisor's end of the control socket. Without a socket it still runs transactions that signals begin."""

    def __init__(
        self, name: str, commands: Iterable[Command], events: Events, mode: Mode = "full", *, listens: bool = True
    ) -> None:
        """``name``: the server's. ``listens``: now, otherwise from ``listen`` on."""
        self.name, self.retired = name, ""
        self.commands = {command.name: command for command in commands}
        self.mode, self._events = mode, events
        self.sock: socket.socket | None = None
        self.path = ""
        self.clients: list[ControlClient] = []
        self.transactions: list[Transaction] = []
        if listens:
            self.listen()

    def listen(self) -> None:
        """Create the socket. If that fails it is logged, and the server runs without it."""
        if self.mode == "off":
            return
        try:
            self.sock, self.path = listening(self.name)
        except OSError as error:
            log.info("no control socket, so poolctl status cannot see this server: %s", error)

    @property
    def at_work(self) -> Transaction | None:
        """The transaction that is changing the server, if there is one."""
        return next((each for each in self.transactions if each.command.changes and each.open), None)

    # The loop

    def interest(self) -> dict[int, int]:
        """Return the descriptors to poll, and the events for each."""
        self._forget()  # those that were closed since the last turn
        listener = {self.sock.fileno(): POLLIN} if self.sock is not None else {}
        return listener | {client.fileno(): client.interest() for client in self.clients}

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
        if type(version) is not int or version != PROTOCOL_VERSION:
            fix = "use the poolctl command of the version that runs the server"
            raise Refused(
                f"unknown protocol version {version!r:.20}; this server speaks version {PROTOCOL_VERSION}",
                fix,
                WRONG_USE,
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

    def start(self, name: str, arguments: dict[str, Any], who: str, *, quiet: bool = False) -> Transaction:
        """Begin a transaction without a client, and return it. ``who``: what asked for it, for instance SIGHUP. If it
        is refused the log says why. ``quiet``: whoever asked for it writes to the log."""
        transaction = Transaction(self.commands[name], who, self._events, quiet=quiet)
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
            self._events.record(Kind.COMMAND, text, transaction.level(logging.INFO), command=command.name, **where)
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
        if command.changes and self.retired:
            raise Refused(self.retired, "repeat the command")
        if command.changes and self.mode == "read" and transaction.client:
            fix = "set control: full, or send a signal to the supervisor"
            raise Refused(f"{command.name} is not allowed by control: read", fix)
        if command.changes and other and not command.always and not command.joins(other):
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

    def retire(self, why: str) -> None:
        """Take no more clients: another process has the control socket of this server now. Those that are connected get
        their answers, and a reason for what this process does not do any more."""
        self.retired = why
        if self.sock is not None:
            self._accept(self.sock, time.monotonic())
            self.sock.close()
            self.sock = None
            with contextlib.suppress(OSError):
                os.unlink(self.path)

    def close(self) -> None:
        """Remove the socket, and close all connections once their clients have taken their last lines."""
        self.retire("the server has stopped")
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
