"""The commands of the control socket: status, events, stop and reload, and the table of all. Those about workers are in
pool_commands.py, the upgrade is in upgrade_command.py."""

from __future__ import annotations

import time
from math import inf
from typing import Any, Protocol

from poolctl.supervision.configuration import ExitCode
from poolctl.supervision.control import Control
from poolctl.supervision.drain_command import draining
from poolctl.supervision.events import Ring
from poolctl.supervision.pool_commands import PooledServer, pool_commands
from poolctl.supervision.reload import Caller
from poolctl.supervision.transaction import SAY_SECONDS, Command, Refused, Transaction, seconds_to_wait
from poolctl.supervision.upgrade_command import UpgradeCommand

FOLLOWERS = 8  # clients that follow events; the other places at the control socket are left for commands
CUT_OFF = 1  # exit code of a stop: unfinished requests were cut off


class CommandedServer(PooledServer, Protocol):
    """What these commands need of the supervisor."""

    ring: Ring
    control: Control
    notice_over: float  # when the drain begins, in monotonic seconds
    cut_off: int  # requests in flight when everything was killed
    exit_code: int | None  # once it is known

    @property
    def drain(self) -> float:
        """Seconds that a stop may take."""

    def status(self) -> dict[str, Any]:
        """Return what the server is, and what it is doing."""

    def stop(self, why: str) -> None:
        """Begin to drain."""

    def stop_now(self, why: str) -> None:
        """Kill everything."""

    def stopping_seconds(self) -> float:
        """Return how long the stop has taken so far."""

    def start_upgrade(self, caller: Caller, wait: float | None) -> None:
        """Begin to replace this supervisor by one of the installed version."""

    def reloaded(self, code: ExitCode, text: str, change: str = "reload") -> None:
        """A reload, or another change, has ended."""


def commands(supervisor: CommandedServer) -> list[Command]:
    """Return the commands of a supervisor."""
    return [
        Command("status", Reading(supervisor).status, changes=False),
        Command("events", Reading(supervisor).events, changes=False, arguments={"follow": bool}),
        Command(
            "stop",
            lambda asked, given: StopCommand(supervisor, asked).begin(given),
            always=True,
            arguments={"now": bool},
        ),
        Command(
            "reload",
            lambda asked, given: ReloadCommand(supervisor, asked).begin(given),
            arguments={"wait": float, "dry_run": bool},
        ),
        *pool_commands(supervisor),
        Command(
            "upgrade",
            lambda asked, given: UpgradeCommand(supervisor, asked).begin(given),
            arguments={"wait": float},
        ),
    ]


class Reading:
    """The commands that only look."""

    def __init__(self, supervisor: CommandedServer) -> None:
        self._supervisor = supervisor

    def status(self, transaction: Transaction, arguments: dict[str, Any]) -> None:
        """Answer with the status."""
        transaction.finish(0, **self._supervisor.status())

    def events(self, transaction: Transaction, arguments: dict[str, Any]) -> None:
        """Send the events of the ring; with `follow` also those to come, until the server ends."""
        ring, sent = self._supervisor.ring, 0

        def step(now: float) -> None:
            nonlocal sent
            if sent < ring.last:
                for event in ring.since(sent):
                    transaction.send({"event": event.shown()})
                sent = ring.last

        def at_end() -> None:
            step(time.monotonic())
            transaction.finish(0, stopped=True)

        if arguments.get("follow"):
            control = self._supervisor.control
            if sum(each.command.name == "events" and each.open for each in control.transactions) > FOLLOWERS:
                raise Refused(f"{FOLLOWERS} clients follow the events of this server", "end one of them")
            transaction.proceed(step, at_end)
        step(time.monotonic())
        if not arguments.get("follow"):
            transaction.finish(0)


class StopCommand:
    """One `stop`: it begins what SIGTERM begins, or with `now` what a second SIGTERM does, and waits for the end."""

    def __init__(self, supervisor: CommandedServer, transaction: Transaction) -> None:
        self._supervisor, self._transaction = supervisor, transaction
        self._said = -inf  # when it last reported progress

    def begin(self, arguments: dict[str, Any]) -> None:
        """Begin the stop, unless one is under way that will do."""
        supervisor, transaction = self._supervisor, self._transaction
        transaction.proceed(self._step, self._at_end)
        if arguments.get("now"):
            supervisor.stop_now("stop --now")
        elif not supervisor.stopping and not supervisor.noticing:
            supervisor.stop("stop")
        self._step(time.monotonic())

    def _step(self, now: float) -> None:
        """Report what the stop waits for."""
        if now - self._said < SAY_SECONDS or self._supervisor.exit_code is not None:  # then nothing drains
            return
        self._said = now
        self._transaction.wake_at(now + SAY_SECONDS)
        supervisor = self._supervisor
        if supervisor.noticing:
            left = supervisor.notice_over - now
            self._transaction.say(f"still serving for {left:.1f} s, then draining", notice=round(left, 3))
            return
        seconds = supervisor.stopping_seconds()
        text, counts = draining(supervisor.status(), seconds, supervisor.drain, supervisor.configuration.stream)
        times = {"seconds": round(seconds, 3), "drain": supervisor.drain}
        if (stream := supervisor.configuration.stream) is not None:
            times["stream"] = stream
        self._transaction.say(text, **times, **counts)

    def _at_end(self) -> None:
        """Answer with how the server stopped. ``exit_code`` of the result is that of the server; ``seconds``: since the
        command came, with the notice."""
        code = self._supervisor.exit_code
        result = {"exit_code": code, "seconds": round(time.monotonic() - self._transaction.started, 3)}
        if cut_streams := self._supervisor.configuration.figures().get("cut", 0):
            result["cut_streams"] = cut_streams
        if code == 0:
            self._transaction.finish(0, **result)
        elif code is not None and code >= 128:
            cut = self._supervisor.cut_off
            self._transaction.finish(CUT_OFF if cut else 0, cut_off=cut, **result)
        elif code == CUT_OFF:
            self._transaction.finish(CUT_OFF, **result)
        else:
            self._transaction.fail("the server failed before it could stop", "see the server's log")


class ReloadCommand:
    """One `reload`, of a client or of a SIGHUP."""

    def __init__(self, supervisor: CommandedServer, transaction: Transaction) -> None:
        self._supervisor, self._transaction = supervisor, transaction
        self._dry = False

    def begin(self, arguments: dict[str, Any]) -> None:
        """Begin the reload. ``wait``: seconds that the new generation has to become ready."""
        wait = seconds_to_wait(arguments)
        self._dry = arguments.get("dry_run", False)
        self._supervisor.start_reload(self, wait=wait, dry=self._dry)

    def say(self, text: str) -> None:
        """Report progress."""
        self._transaction.say(text)

    def finish(self, code: ExitCode, text: str) -> None:
        """Report the end, to whoever asked and to the supervisor."""
        if not self._dry:
            self._supervisor.reloaded(code, text)  # first: who has the answer sees what follows from it
        if code:
            self._transaction.fail(text, "", int(code))
        else:
            self._transaction.finish(0, text, seconds=round(self._transaction.seconds, 3))
