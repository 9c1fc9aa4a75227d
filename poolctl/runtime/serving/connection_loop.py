"""The connection loop: I own connections, from their accept to their close.

    new ones come from          my own listener | a listener that all share | an inbox
    requests are answered       at once, in this thread, by Service.answer

Nothing waits for a single client: a silent one costs a descriptor until its timeout, a slow reader's bytes are kept
(outbound) while others are served. What does make others wait is the app; how many connections share its fate is the
choice of ownership.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Protocol, Self, TypeAlias, TypeVar

from poolctl.runtime.listen.door import AcceptingLoop, Door
from poolctl.runtime.loop.source import Handler
from poolctl.runtime.serving.leaving import WAITED, state
from poolctl.runtime.serving.phases import CLOSED, Phase
from poolctl.runtime.serving.service import Service
from poolctl.runtime.system.poller import Poller
from poolctl.runtime.task import Peer
from poolctl.runtime.timeouts import Timeouts


class LoopConnection(Handler[Service], Protocol):
    """A connection, as its loop sees it."""

    phase: Phase

    def begin(self, service: Service) -> None:
        """Serve what has come with it; then wait for more."""

    def was_reset(self, events: int) -> bool:
        """Whether the client has left by a reset, so that nobody waits for what it has asked for."""

    def close(self, service: Service) -> None:
        """The end of the connection, and of the task that it was."""


L = TypeVar("L")
# Makes a connection of one kind, of (loop, descriptor, peer, service, door).
NewConnection: TypeAlias = Callable[[L, int, Peer, Service, Door], LoopConnection]


class ConnectionLoop(AcceptingLoop[Service]):
    """Serves the connections it owns, which ``new`` makes. ``limit``: how many at once; more are turned away with a
    503."""

    def __init__(
        self,
        lifeline: int,
        timeouts: Timeouts,
        limit: int,
        new: NewConnection[Self],
        *,
        shared: bool = False,
        loops: int = 1,
        clock: Callable[[], float] = monotonic,
        poller: Poller | None = None,
    ) -> None:
        super().__init__(lifeline, timeouts, limit, shared=shared, loops=loops, clock=clock, poller=poller)
        self._new: NewConnection[Self] = new
        # Until when newcomers may have waited while this loop was busy: for as long again as it was away.
        self._wary = 0.0

    def serve(self: Self, fd: int, peer: Peer, service: Service, door: Door) -> None:
        """A connection that has come through its door. Its first bytes have usually come with it, so they are read
        before anybody waits for them."""
        try:
            connection = self._new(self, fd, peer, service, door)
            self.handlers[fd] = connection  # from here on a drain waits for it
            away = self.now - self.before
            if away > WAITED:
                self._wary = self.now + away
            if self.now <= self._wary and connection.was_reset(state(fd)):
                connection.close(service)
                return
            connection.begin(service)
            if self.draining and connection.phase is not CLOSED:
                connection.drain(service)
        except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
            self.fail_newcomer(fd, service, error)
