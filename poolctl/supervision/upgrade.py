"""An upgrade, in the supervisor that leaves: the one that takes over is in takeover.py, what they say in handover.py.

    STARTING --> TAKING --> DRAINING --> over
     |            |
     +------------+-- failed, or not in time --> ENDING --> over

    STARTING   the new supervisor runs, judges the topology, and starts a generation beside the one that serves
    TAKING     it makes control socket and PID file its own
    DRAINING   it is the server; this one drains its generations, whose idle connections move (listen/moves.py)

    ENDING     the new supervisor is being ended

Whatever fails before DRAINING leaves this supervisor and its generation serving, as if nothing had happened. The new
supervisor is in a process group of its own (new_process.py). Its molds have theirs, and their presence pipes are here
too, so they can be killed however it ends.

If this supervisor is killed, the new one takes over without it. The file is long because each step has its own way to
fail.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Mapping
from enum import Enum
from math import inf
from typing import Any, Protocol

from poolctl import __version__
from poolctl.supervision.configuration import Configuration, ExitCode
from poolctl.supervision.generation import Orphans
from poolctl.supervision.handover import VARIABLE, Link, Message, write_state
from poolctl.supervision.launch import Launch
from poolctl.supervision.new_process import NewProcess
from poolctl.supervision.reload import Caller

log = logging.getLogger("poolctl")

TAKE_SECONDS = 10.0  # seconds that the new supervisor has for control socket and PID file
END_SECONDS = 1.0  # seconds that it has to end, before it is killed


class UpgradeStep(Enum):
    """What is under way."""

    STARTING = "starting a new supervisor"
    TAKING = "handing over"
    DRAINING = "draining the old workers"
    ENDING = "ending the new supervisor"


class UpgradedServer(Protocol):
    """What an upgrade needs of the supervisor."""

    configuration: Configuration
    launch: Launch | None

    def state(self) -> dict[str, Any]:
        """Return what the new supervisor goes on with."""

    def stays(self) -> Link | None:
        """Return the end of a link for the new supervisor if somebody waits for the end of this process, or of the
        first one; None if nobody does."""

    def hand_over(self, upgrade: Upgrade, listening: list[int], version: str) -> None:
        """Drain: the process of this upgrade is the server from now on, and listens on these descriptors."""

    def resume(self, failed: int) -> None:
        """The upgrade has failed, and its process has ended, which may have called itself the supervisor."""

    def kill_draining(self) -> None:
        """Kill everything that drains."""

    def add_orphans(self, orphans: Orphans, *, serving: bool) -> None:
        """End the roles of a new supervisor that is gone. ``serving``: they may have clients."""

    @property
    def drained(self) -> bool:
        """Whether no generation is left."""


class Upgrade:
    """One upgrade. ``deadline``: when the current step has taken too long, on the monotonic clock; ``over``: whether
    the caller has the outcome; ``process``: that of the new supervisor, once it was started."""

    def __init__(self, server: UpgradedServer, caller: Caller, wait: float) -> None:
        """``wait``: seconds that the new supervisor and its workers have to become ready."""
        self._server, self._caller, self._wait = server, caller, wait
        self.step = UpgradeStep.STARTING
        self.over = False
        self.began = time.monotonic()
        self.deadline = self.began + wait
        self.process: NewProcess | None = None
        self.link: Link | None = None
        self._state = -1  # the memory file
        self._molds: list[tuple[int, int, int]] = []  # of the new supervisor: generation, pid and presence pipe
        self._serving = False  # one of its workers is ready, and may have clients
        self._outcome = (ExitCode.REFUSED, "")  # of an upgrade that is being ended
        self._forced = False  # unfinished requests of the old workers were cut off

    @property
    def pid(self) -> int:
        """That of the new supervisor; 0: it was not started."""
        return self.process.pid if self.process else 0

    @property
    def watched(self) -> list[int]:
        """The descriptors on whose events `turn` and `look` must be called."""
        return [*(self.link.watched if self.link else ()), *(self.process.watched if self.process else ())]

    @property
    def took(self) -> str:
        """The seconds since it began, for people."""
        return f"{time.monotonic() - self.began:.1f} s"

    # steps

    def begin(self) -> None:
        """Start the new supervisor."""
        launch = self._server.launch
        if launch is None or launch.refusal:
            self.abandon(launch.refusal if launch else "this server was not started by a command line")
            return
        try:
            self._start(launch)
        except OSError as error:
            self.abandon(f"cannot start a new supervisor: {error.strerror}")
            return
        self._caller.say(f"process {self.pid} starts beside the running server")

    def _start(self, launch: Launch) -> None:
        self.link, theirs = Link.pair()
        first = self._server.stays()
        try:
            self._state = os.memfd_create("poolctl-state")
            content, kept = self._server.configuration.bequest()
            links = {"link": theirs.fileno(), "first": first.fileno() if first else -1}
            self._content = {"version": __version__, "pid": os.getpid(), **links, "configuration": content}
            kept = kept | {self._state, *(fd for fd in links.values() if fd >= 0)}
            write_state(self._state, {**self._content, "descriptors": sorted(kept), **self._server.state()})

            def become() -> int:
                os.setpgid(0, 0)
                try:
                    launch.execute(kept, {VARIABLE: str(self._state)})
                except OSError as error:
                    text = f"cannot run {' '.join(launch.command)} in {launch.folder}: {error.strerror}"
                    theirs.send("failed", exit=1, text=text)
                return 1

            self.process = NewProcess.start(become, followed=first is None)
        finally:
            theirs.close()

    def turn(self, now: float) -> None:
        """Go on with what has arrived, or give up what has taken too long."""
        try:
            for message in self.link.receive() if self.link else ():
                self._received(message)
        except Exception:  # of another version, which may say anything
            log.exception("the new supervisor said something unexpected")
            self.abandon("the new supervisor said something unexpected; see the server's log")
        if self.over:
            return
        if self.step is UpgradeStep.ENDING:
            if now >= self.deadline and self.process:
                self.deadline = inf
                self.process.kill()
        elif self.step is UpgradeStep.DRAINING:
            if self._server.drained:
                lost = "; unfinished requests of the old one were cut off" if self._forced else ""
                self._finish(ExitCode.DONE, f"process {self.pid} serves ({self.took}){lost}")
        elif now >= self.deadline:
            late = f"the new supervisor was not ready within {self._wait:g} s"
            taking = f"the new supervisor did not take over within {TAKE_SECONDS:g} s"
            self.abandon(late if self.step is UpgradeStep.STARTING else taking, ExitCode.LATE)

    def _received(self, message: Message) -> None:
        if message.kind == "generation" and message.fd >= 0:
            self._molds.append((int(message.values["number"]), int(message.values["pid"]), message.fd))
        elif message.kind == "serves":
            self._serving = True
        elif message.kind == "failed":
            code = ExitCode.INVALID if message.values["exit"] == ExitCode.INVALID else ExitCode.REFUSED
            self.abandon(str(message.values["text"]), code, ends=True)
        elif message.kind == "ready" and self.step is UpgradeStep.STARTING:
            self._offer()
        elif message.kind == "taken" and self.step is UpgradeStep.TAKING:
            self.step, self.deadline = UpgradeStep.DRAINING, inf
            self._close_presences()
            self._server.hand_over(self, list(message.values["listening"]), str(message.values["version"]))
            self._caller.say(f"process {self.pid} serves; the old workers drain")
        elif message.kind == "kill" and self.step is UpgradeStep.DRAINING:
            self._server.kill_draining()

    def _offer(self) -> None:
        assert self.link is not None  # it has just said something
        self.step, self.deadline = UpgradeStep.TAKING, time.monotonic() + TAKE_SECONDS
        try:
            write_state(self._state, {**self._content, **self._server.state()})
        except OSError as error:
            self.abandon(f"cannot write the state: {error.strerror}")
            return
        self.link.send("take")

    def forced(self) -> None:
        """Note that unfinished requests of the old workers were cut off."""
        self._forced = True

    def look(self, dead: Mapping[int, int]) -> None:
        """Act if the new supervisor has ended. ``dead``: the children that have, with their exit codes."""
        if self.process is None or not self.process.look(dead):
            return
        self.turn(0.0)  # what it said at last
        if self.step is UpgradeStep.ENDING:
            self._give_up()
        else:
            self.abandon(f"the new supervisor {self.process.ended} before it was ready; see the server's log")

    def signal(self, number: signal.Signals) -> None:
        """Send the new supervisor a signal, if it runs."""
        if self.process:
            self.process.signal(number)

    # the end

    def abandon(self, why: str, code: ExitCode = ExitCode.REFUSED, *, ends: bool = False) -> None:
        """Give up, unless the new supervisor is the server already. ``ends``: it ends by itself."""
        if self.step not in (UpgradeStep.STARTING, UpgradeStep.TAKING):
            return
        self._outcome = code, why.rstrip()
        taking, self.step = self.step is UpgradeStep.TAKING, UpgradeStep.ENDING
        if not self.process or self.process.ended:
            self._give_up()
            return
        self.deadline = time.monotonic() + END_SECONDS
        if not ends:  # SIGTERM lets it end its own processes, unless it takes itself for the server already
            self.process.signal(signal.SIGKILL if taking else signal.SIGTERM)

    def _give_up(self) -> None:
        """The new supervisor is gone: end what it has left behind."""
        if self.over:
            return
        self._server.resume(self.pid)
        code, why = self._outcome
        for number, pid, presence in self._molds:
            orphans = Orphans(pid, presence, 0.0, self._server.configuration, number, f"the upgrade failed: {why}")
            self._server.add_orphans(orphans, serving=self._serving)
        self._molds.clear()
        if self.link is not None:
            self.link.close()
        if self.process is not None:
            self.process.close()
        self._finish(code, why)

    def _finish(self, code: ExitCode, text: str) -> None:
        if not self.over:
            self.over = True
            self._close_state()
            self._caller.finish(code, text)

    def _close_state(self) -> None:
        if self._state >= 0:
            os.close(self._state)
            self._state = -1

    def _close_presences(self) -> None:
        for _, _, presence in self._molds:
            os.close(presence)
        self._molds.clear()

    def close_inherited(self) -> None:
        """In a forked process: close the copies of its descriptors."""
        if self.link is not None:
            self.link.close()
        if self.process is not None:
            self.process.close()
        self._close_state()
        self._close_presences()
