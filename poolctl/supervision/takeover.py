"""A takeover: an upgrade, in the supervisor that is new. The one that leaves is in upgrade.py, what they say in
handover.py.

    STARTING --> READY --> SERVING --> DONE        the other supervisor has ended, or closed the link
       |           |
       +-----------+-- failed: this process ends, and the other one goes on

Until SERVING this process is nobody's: it has no control socket, no PID file, and says nothing to the service manager.
If the other supervisor ends before, this one serves at once, since nobody else would.
"""

from __future__ import annotations

import logging
import os
import platform
import socket
import time
from collections.abc import MutableMapping
from enum import Enum
from math import inf
from typing import Any, Protocol

from poolctl import __version__
from poolctl.errors import PoolctlError
from poolctl.supervision.events import Event, Ring
from poolctl.supervision.generation import Generation
from poolctl.supervision.handover import FAILURE_CHARACTERS, VARIABLE, Link, Message, read_state

log = logging.getLogger("poolctl")

CUT_OFF_SECONDS = 1.0  # seconds that the other supervisor has to kill its processes


class TakeoverStep(Enum):
    """How far it has come."""

    STARTING = "starting"
    READY = "waiting to take over"
    SERVING = "serving"
    DONE = "done"


class TakingServer(Protocol):
    """What a takeover needs of the supervisor."""

    def take_over(self, state: dict[str, Any]) -> list[int]:
        """Make control socket and PID file this process's own, and go on with the counters of the state. Returns the
        listening descriptors. Raises PoolctlError if that is not possible; then nothing has changed."""

    def give_way(self) -> None:
        """End, since the other supervisor goes on."""

    def serves_alone(self) -> None:
        """Report to the service manager."""

    ring: Ring

    def predecessor_ended(self, total: dict[str, int]) -> None:
        """The supervisor that leaves has ended. ``total``: its last figures;
        empty: it was killed."""


class Takeover:
    """One takeover. ``pid``: of the supervisor that leaves; ``configuration``: what its configuration has bequeathed;
    ``first``: the link to the first process, if somebody waits for that."""

    def __init__(self, state_fd: int) -> None:
        """Raises OSError, ValueError and KeyError for a state that cannot be used."""
        self._state = state_fd
        os.set_inheritable(state_fd, False)
        self.state = read_state(state_fd)
        for fd in self.state["descriptors"]:
            os.set_inheritable(fd, False)
        self.link = Link(socket.socket(fileno=self.state["link"]))
        first = self.state["first"]
        self.first = Link(socket.socket(fileno=first)) if first >= 0 else None
        self.pid: int = self.state["pid"]
        self.configuration: dict[str, Any] = self.state["configuration"]
        self.step = TakeoverStep.STARTING
        self.until = inf  # when the other supervisor must have ended, on the monotonic clock
        self.alone = False  # the service manager knows this process

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> Takeover | None:
        """Return the takeover for which this process was started; None if it was started otherwise. Removes the
        variable. Raises PoolctlError."""
        value = environment.pop(VARIABLE, "")
        if not value:
            return None
        try:
            return cls(int(value))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PoolctlError(
                f"{VARIABLE}={value}, by which an upgrade starts poolctl, cannot be used: {error}"
            ) from None

    @property
    def pending(self) -> bool:
        """Whether the other supervisor is the server still."""
        return self.step in (TakeoverStep.STARTING, TakeoverStep.READY)

    @property
    def watched(self) -> list[int]:
        """The descriptors on whose events `turn` must be called."""
        return [*self.link.watched, *(self.first.watched if self.first else ())]

    @property
    def forsaken(self) -> bool:
        """Whether the first process has been killed, so that whoever waits for it takes the server for ended."""
        if self.first is None or self.step is not TakeoverStep.DONE:
            return False
        self.first.receive()
        return self.first.ended

    def fail(self, code: int, text: str) -> None:
        """Report why this process cannot take over, before it ends; no effect once it serves."""
        if self.pending:
            self.link.send("failed", exit=code, text=text[-FAILURE_CHARACTERS:])

    def forked(self, generation: Generation) -> None:
        """Report a mold, which the other supervisor kills if this one fails."""
        if self.pending:
            self.link.send("generation", generation.presence, pid=generation.pid, number=generation.number)

    def serves(self) -> None:
        """Report that one of the workers is ready, so that it may have clients."""
        if self.pending:
            self.link.send("serves")

    def ready(self) -> None:
        """Report that the first generation can serve."""
        if self.step is TakeoverStep.STARTING:
            self.step = TakeoverStep.READY
            self.link.send("ready")

    def turn(self, server: TakingServer) -> None:
        """Go on with what has arrived."""
        if self.step is TakeoverStep.DONE:
            return
        try:
            for message in self.link.receive():
                self._received(message, server)
        except Exception:  # of another version, which may say anything
            log.exception("the supervisor that leaves said something unexpected")
            self.fail(1, "the running server said something unexpected; see the log")
        if not self.link.ended or self.step is TakeoverStep.STARTING:
            return
        if self.step is TakeoverStep.READY:
            self._take(server)
        self._over(server, {})

    def _received(self, message: Message, server: TakingServer) -> None:
        if message.kind == "take" and self.step is TakeoverStep.READY:
            self._take(server)
        elif message.kind == "alone" and self.step is TakeoverStep.SERVING:
            self._alone(server)
        elif message.kind == "event":
            server.ring.add(Event(**message.values["event"]))
        elif message.kind == "ended":
            self._over(server, message.values["total"])

    def _take(self, server: TakingServer) -> None:
        try:
            self.state = read_state(self._state)
            listening = server.take_over(self.state)
        except (PoolctlError, OSError, ValueError) as error:
            log.error("cannot take over: %s", error)
            if not self.link.ended:
                self.fail(1, str(error))
                server.give_way()
            return
        self.step = TakeoverStep.SERVING
        version = f"poolctl {__version__}, Python {platform.python_version()}"
        self.link.send("taken", listening=listening, version=version)

    def _alone(self, server: TakingServer) -> None:
        if not self.alone:
            self.alone = True
            server.serves_alone()

    def _over(self, server: TakingServer, total: dict[str, int]) -> None:
        if self.step is TakeoverStep.SERVING:
            self._alone(server)
            if self.first and self.link.ended and not total:  # the first process was killed in the middle of an upgrade
                self.first.receive()
                self.first = None if self.first.ended else self.first
            self.step = TakeoverStep.DONE
            self._close()
            server.predecessor_ended(total)

    @property
    def drains(self) -> bool:
        """Whether the other supervisor still drains, so that this one must not end yet."""
        return self.step is TakeoverStep.SERVING and time.monotonic() < self.until

    def cut_off(self) -> None:
        """Have the other supervisor kill what still drains, and wait for it no longer than a moment."""
        if self.step is TakeoverStep.SERVING:
            self.link.send("kill")
            self.until = min(self.until, time.monotonic() + CUT_OFF_SECONDS)

    def _close(self) -> None:
        self.link.close()
        if self._state >= 0:
            os.close(self._state)
            self._state = -1

    def close_inherited(self) -> None:
        """In a forked process: close the copies of its descriptors."""
        self._close()
        if self.first:
            self.first.close()
