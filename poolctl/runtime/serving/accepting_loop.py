"""A loop that takes clients up to a limit: that of a worker, which serves them, and that of a front, which lends them.

listener, inbox --> accept --> the door: PROXY header, TLS --> serve, which the two kinds do in their own way
                      |           +--> drop: it ended there
                      +--> 503, when there are ``limit`` already
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from time import monotonic

from poolctl.runtime.listen.door import Door
from poolctl.runtime.loop.loop import Loop
from poolctl.runtime.loop.source import S
from poolctl.runtime.scoreboard import DONE, TAKEN
from poolctl.runtime.system.poller import Poller
from poolctl.runtime.task import Peer
from poolctl.runtime.timeouts import Timeouts


class AcceptingLoop(Loop[S]):
    """``limit``: how many clients at once; more are turned away with a 503. ``open``: how many there are. ``shared``,
    ``clock``, ``poller``: those of a loop. Where there is a service, a client is a task of its row."""

    def __init__(
        self,
        lifeline: int,
        timeouts: Timeouts,
        limit: int,
        *,
        shared: bool = False,
        clock: Callable[[], float] = monotonic,
        poller: Poller | None = None,
    ) -> None:
        super().__init__(lifeline, timeouts.drain, shared=shared, clock=clock, poller=poller)
        self.timeouts = timeouts
        self.limit = limit
        self.open = 0

    def accept(self, fd: int, peer: Peer, service: S, door: Door) -> None:
        """A new connection."""
        if service is not None:
            service.row[TAKEN] += 1
        if self.open >= self.limit:
            if service is not None:
                service.row[DONE] += 1
            self.turn_away(fd, door.busy(peer))
            return
        self.open += 1
        try:
            door.enter(self, fd, peer, service)
        except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
            self.fail_newcomer(fd, service, error)

    @abstractmethod
    def serve(self, fd: int, peer: Peer, service: S, door: Door) -> None:
        """A connection that has come through its door."""

    def drop(self, fd: int, service: S, words: bytes = b"") -> None:
        """A connection that ended in its door. ``words``: what its client is told."""
        self.open -= 1
        if service is not None:
            service.row[DONE] += 1
        super().drop(fd, service, words)
