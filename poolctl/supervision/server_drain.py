"""The drain of the whole server by `poolctl drain`, and its end by `poolctl resume`.

    serving --drain--> NOTICED --> DRAINING --> DRAINED --resume--> RESUMING --> serving
       ^                  |           |            ^                    |
       +------resume------+           +--(resume)--+----- not ready ----+

    NOTICED   everything is served, and health checks fail, for timeouts.notice
    DRAINING  as in a stop: new clients are refused, queued and busy ones answered, for at most timeouts.drain
    DRAINED   no process is left but the supervisor; new clients are refused
    RESUMING  a new generation starts, as in a reload (reload.py); the addresses are open again

A drained server refuses connections: a load balancer then asks another server, which most do not do after a 503. What
was passed to the server (`fd://`, `systemd`) stays open, and its clients wait in the queue.
"""

from __future__ import annotations

import logging
import time
from enum import Enum
from math import inf
from typing import Protocol

from poolctl.runtime.listen import server_stop
from poolctl.supervision.configuration import Configuration, ExitCode
from poolctl.supervision.events import Events, Kind
from poolctl.supervision.generation import Generation
from poolctl.supervision.reload import lost


class DrainPhase(Enum):
    """How far the drain of a server is."""

    SERVING = "running"
    NOTICED = "about to drain"
    DRAINING = "draining"
    DRAINED = "drained"
    RESUMING = "resuming"


DRAIN_TRANSITIONS = {
    DrainPhase.SERVING: {DrainPhase.NOTICED, DrainPhase.DRAINING},
    DrainPhase.NOTICED: {DrainPhase.SERVING, DrainPhase.DRAINING},
    DrainPhase.DRAINING: {DrainPhase.DRAINED},
    DrainPhase.DRAINED: {DrainPhase.RESUMING},
    DrainPhase.RESUMING: {DrainPhase.DRAINED, DrainPhase.SERVING},
}


class DrainedServer(Protocol):
    """What this needs of the supervisor."""

    name: str
    configuration: Configuration
    events: Events

    @property
    def drain(self) -> float:
        """Seconds that a drain may take."""

    @property
    def drained(self) -> bool:
        """Whether no generation is left."""

    def take_down(self, why: str) -> Generation | None:
        """Have the current generation drain, as in a stop. Returns it; None if there is none just now."""

    def refuse_clients(self, configuration: Configuration) -> None:
        """Shut the listening sockets of a configuration, whoever is queued there."""


class ServerDrain:
    """Where the server is between serving and being drained. The supervisor calls `turn` in each turn of its loop.

    ``outcome``: what became of its clients, once it is drained. Times are monotonic seconds.
    """

    def __init__(self, server: DrainedServer) -> None:
        self._server = server
        self._phase = DrainPhase.SERVING
        self._why = ""
        self._generation: Generation | None = None  # that drains
        self._status = 0  # of its mold
        self.notice_over = inf
        self.began = inf  # when the drain itself began
        self.outcome = ""

    @property
    def phase(self) -> DrainPhase:
        """How far it is."""
        return self._phase

    @phase.setter
    def phase(self, phase: DrainPhase) -> None:
        assert phase in DRAIN_TRANSITIONS[self._phase], f"{self._phase} -> {phase}"
        self._phase = phase

    @property
    def serving(self) -> bool:
        """Whether no drain was asked for, or its end."""
        return self._phase is DrainPhase.SERVING

    @property
    def down(self) -> bool:
        """Whether no generation is to be started but by `poolctl resume`."""
        return self._phase in (DrainPhase.DRAINING, DrainPhase.DRAINED, DrainPhase.RESUMING)

    @property
    def refusal(self) -> str:
        """Why another change is refused meanwhile."""
        return f"the server is {self._phase.value}; run poolctl resume {self._server.name} first"

    @property
    def due(self) -> float:
        """When `turn` must be called at the latest."""
        return self.notice_over

    def begin(self, why: str) -> None:
        """Begin the drain of a server that serves, with its notice if it has one."""
        self._why, self._status, self.outcome = why, 0, ""
        seconds = self._server.configuration.notice
        if not seconds:
            self._drain(time.monotonic())
            return
        text = f"{why}: still serving for {seconds:g} s (timeouts.notice), then draining"
        self._server.events.record(Kind.DRAIN_STARTED, text, logging.INFO, reason=why)
        self.phase = DrainPhase.NOTICED
        self.notice_over = time.monotonic() + seconds
        server_stop.give_notice()

    def turn(self, now: float) -> None:
        """Go on when the notice is over, or nothing is left."""
        if now >= self.notice_over:
            self._drain(now)
        if self._phase is DrainPhase.DRAINING and self._server.drained:
            self._server.refuse_clients(self._server.configuration)
            self.phase = DrainPhase.DRAINED
            cut = lost(self._status) if self._generation else "0 failed"
            closed = self._server.configuration.figures().get("closed_idle", 0)
            self.outcome = f"{cut}, {closed} idle connection{'s' * (closed != 1)} closed"
            text = f"{self._server.name} is drained: {self.outcome}"
            self._server.events.record(Kind.SERVER_DRAINED, text, logging.INFO, reason=self._why)

    def _drain(self, now: float) -> None:
        self.notice_over = inf
        self.phase, self.began = DrainPhase.DRAINING, now
        text = f"{self._why}: draining for up to {self._server.drain:g} s"
        self._server.events.record(Kind.DRAIN_STARTED, text, logging.INFO, reason=self._why)
        server_stop.announce()
        self._generation = self._server.take_down(self._why)

    def ended(self, generation: Generation, status: int) -> bool:
        """A mold has ended, perhaps that of the generation that drains. Returns whether it is, and lost requests."""
        if generation is not self._generation:
            return False
        self._status = status
        return bool(status)

    # the end of it

    def call_off(self) -> None:
        """Go on serving, since the notice is not over."""
        self.phase = DrainPhase.SERVING
        self.notice_over = inf
        server_stop.reset()

    def resume(self) -> None:
        """A new generation is about to be started."""
        self.phase = DrainPhase.RESUMING
        server_stop.reset()

    def resumed(self, code: ExitCode) -> None:
        """The new generation serves, or could not be started; then its clients are refused again."""
        if self._phase is DrainPhase.RESUMING:
            self.phase = DrainPhase.DRAINED if code else DrainPhase.SERVING
            if code:
                server_stop.announce()

    def stopped(self) -> None:
        """The server is being stopped."""
        self._phase, self.notice_over = DrainPhase.SERVING, inf
