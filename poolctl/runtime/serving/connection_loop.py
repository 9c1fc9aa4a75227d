"""The connection loop: it owns connections from accept to close.

    connections come from       its own listener | a listener that all workers share | an inbox
    requests are answered       at once, in this thread, by Service.answer

The loop never waits for a single client: a silent one costs a descriptor until its timeout, and the bytes of a slow
reader are kept (outbound) while others are served. Only the app makes other connections wait; how many of them depends
on the choice of ownership.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Protocol, Self, TypeAlias, TypeVar

from mypy_extensions import mypyc_attr

from poolctl.runtime.buffers.outbound import SecureSocket
from poolctl.runtime.lifeline import told_to_leave
from poolctl.runtime.listen.door import AcceptingLoop, Door
from poolctl.runtime.loop.source import Handler, Lifeline, Source
from poolctl.runtime.serving.leaving import WAITED_SECONDS
from poolctl.runtime.serving.phases import CLOSED, Phase
from poolctl.runtime.serving.service import Service
from poolctl.runtime.system.poller import Poller
from poolctl.runtime.system.state import state
from poolctl.runtime.task import Peer
from poolctl.runtime.timeouts import Timeouts


class LoopConnection(Handler[Service], Protocol):
    """What the loop needs of a connection."""

    phase: Phase

    def secure(self, tls: SecureSocket | None) -> None:
        """Read and write through TLS. Called before ``begin``."""

    def begin(self, service: Service) -> None:
        """Serve the bytes that came with the connection; then wait for more."""

    def renew(self, fd: int, peer: Peer) -> None:
        """Serve another client of the same door as if this object were new."""

    def was_reset(self, events: int) -> bool:
        """Whether the client has left with a reset, so that its requests need no response."""

    def close(self, service: Service) -> None:
        """Close the connection, and count it as a finished task."""


L = TypeVar("L")
# Makes a connection of one kind from (loop, descriptor, peer, service, door).
NewConnection: TypeAlias = Callable[[L, int, Peer, Service, Door], LoopConnection]


@mypyc_attr(allow_interpreted_subclasses=True)
class ConnectionLoop(AcceptingLoop[Service]):
    """Serves the connections it owns, which ``new`` makes. ``limit``: the most connections at once; further ones are
    turned away with a 503. ``owned``: their app owns them, with a descriptor that it reads and writes itself."""

    def __init__(
        self,
        lifeline: int,
        timeouts: Timeouts,
        limit: int,
        new: NewConnection[Self],
        *,
        owned: bool = False,
        shared: bool = False,
        loops: int = 1,
        clock: Callable[[], float] = monotonic,
        poller: Poller | None = None,
    ) -> None:
        super().__init__(lifeline, timeouts, limit, shared=shared, loops=loops, clock=clock, poller=poller)
        self.takes_tls = not owned
        self._new: NewConnection[Self] = new
        self._spares: dict[Door, list[LoopConnection]] = {}  # closed connections, for the next clients of each door
        self._current_limit: Callable[[], int] | None = None
        self.left_to_others: list[Source[Service]] = []  # what this worker shares with others that go on when it leaves
        # Until then new connections may have waited while this loop was busy: for as long again as it was busy.
        self._wary = 0.0

    def limit_by(self, limit: Callable[[], int]) -> None:
        """Ask for the limit on connections again at each sweep, and when it is reached: it depends on how many workers
        there are."""
        self._current_limit = limit

    def full(self) -> bool:
        if self._current_limit is not None:
            self.limit = self._current_limit()
        return self.open >= self.limit

    def _sweep(self, now: float, service: Service) -> None:
        if self._current_limit is not None:
            self.limit = self._current_limit()
        super()._sweep(now, service)

    def leave_with(self, leave: int) -> None:
        """Drain when this descriptor says so, too (``Life.leave``). Called before the loop runs."""
        if leave >= 0:
            self.add_source(Leave(self, leave, self.left_to_others))

    def spares_of(self, door: Door) -> list[LoopConnection] | None:
        """Return where closed connections of this door wait for its next clients; None if its protocol does not allow
        that, or with TLS, whose handshake costs far more than what this saves."""
        return self._spares.setdefault(door, []) if door.protocol.renews and door.scheme == "http" else None

    def _connection(self: Self, fd: int, peer: Peer, service: Service, door: Door) -> LoopConnection:
        """Return a connection for a new client, one that served another client if there is one."""
        spares = self._spares.get(door)
        if spares:
            try:
                connection = spares.pop()
            except IndexError:
                pass  # another thread of this loop was faster
            else:
                connection.renew(fd, peer)
                return connection
        return self._new(self, fd, peer, service, door)

    def serve(self: Self, fd: int, peer: Peer, service: Service, door: Door, tls: SecureSocket | None = None) -> None:
        """Serve a connection that has come through its door. Its first bytes have usually arrived with it, so they are
        read before the poller waits for them."""
        try:
            connection = self._connection(fd, peer, service, door)
            if tls is not None:
                connection.secure(tls)
            self.handlers[fd] = connection  # from now on a drain waits for it
            away = self.now - self.before
            if away > WAITED_SECONDS:
                self._wary = self.now + away
            if self.now <= self._wary and connection.was_reset(state(fd)):
                connection.close(service)
                return
            connection.begin(service)
            if self.draining and connection.phase is not CLOSED:
                connection.drain(service)
        except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
            self.fail_newcomer(fd, service, error)


class Leave(Lifeline[Service]):
    """The pipe that makes this worker leave while others go on."""

    def __init__(self, loop: ConnectionLoop, fd: int, left_to_others: Sequence[Source[Service]]) -> None:
        super().__init__(loop, fd)
        self.left_to_others = left_to_others

    def on_event(self, events: int, service: Service) -> None:
        if not told_to_leave(self.fd):
            self.loop.remove(self)  # the mold is dead; the lifeline ends too
            return
        for source in self.left_to_others:
            self.loop.remove(source)
        super().on_event(events, service)
