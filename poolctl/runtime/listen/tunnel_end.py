"""One of the two descriptors of a tunnel, as a handler of its loop."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Generic, Protocol

from poolctl.runtime.listen.door import ServingLoop
from poolctl.runtime.loop.source import Delivery, S
from poolctl.runtime.system.poller import IN


class TwoEnded(Protocol[S]):
    """The part of a tunnel that its ends use."""

    loop: ServingLoop[S]

    def turn(self, service: S) -> None:
        """Move bytes in both directions."""

    def expire(self, now: float, service: S) -> None:
        """End the tunnel if it has timed out."""

    def unsent(self, end: End[S]) -> bool:
        """Whether this end is the client's, which has not taken all bytes of the connection behind."""

    def cut(self, service: S) -> bool:
        """Drop these bytes once the connection behind has ended. Returns whether it has."""

    def abort(self, service: S) -> None:
        """End the tunnel after an exception."""


class End(Generic[S]):
    """One end. ``mask``: the events it waits for; while that is 0 it is not registered, since the poller would report a
    hang-up again and again. ``armed``: False after an event of a shared loop, which disarms the descriptor."""

    delivery = Delivery.OWN  # the tunnel rearms it in its turn
    watched = True

    def __init__(self, tunnel: TwoEnded[S], fd: int) -> None:
        self.tunnel = tunnel
        self.fd = fd
        self.mask = IN
        self.armed = True

    def begin(self) -> None:
        """Register with the loop."""
        loop = self.tunnel.loop
        loop.handlers[self.fd] = self
        loop.poller.register(self.fd, self.mask | loop.once)

    def on_event(self, events: int, service: S) -> None:
        """Move the whole tunnel: an event of one end may unblock both directions."""
        self.armed = not self.tunnel.loop.shared
        self.tunnel.turn(service)

    def expire(self, now: float, service: S) -> None:
        self.tunnel.expire(now, service)

    def drain(self, service: S) -> None:
        """Do nothing: the connection behind drains itself, and ends the tunnel."""

    def streams(self) -> Sequence[Hashable]:
        """Return what stands for bytes that the client has not taken."""
        return (self,) if self.tunnel.unsent(self) else ()

    def cut_stream(self, stream: Any, service: S) -> bool:
        """A drain has waited for long enough: drop what the connection behind has left, once it has ended itself."""
        return self.tunnel.cut(service)

    def abort(self, service: S) -> None:
        """End the whole tunnel after an exception."""
        self.tunnel.abort(service)

    def wait_for(self, mask: int) -> None:
        """Wait for other events from now on. In a shared loop this also rearms a descriptor that an event disarmed."""
        before, self.mask = self.mask, mask
        loop = self.tunnel.loop
        if (mask == before and (self.armed or not mask)) or loop.handlers.get(self.fd) is not self:
            return
        self.armed = True
        if not mask:
            loop.poller.unregister(self.fd)
        elif not before:
            loop.poller.register(self.fd, mask | loop.once)
        else:
            loop.poller.modify(self.fd, mask | loop.once)
