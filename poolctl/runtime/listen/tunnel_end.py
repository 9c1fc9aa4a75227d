"""One of the two descriptors of a tunnel, as a handler of its loop."""

from __future__ import annotations

from typing import Generic, Protocol

from poolctl.runtime.listen.door import ServingLoop
from poolctl.runtime.loop.source import Delivery, S
from poolctl.runtime.system.poller import IN


class TwoEnded(Protocol[S]):
    """A tunnel, as far as its ends know it."""

    loop: ServingLoop[S]

    def turn(self, service: S) -> None:
        """Move what can be moved."""

    def expire(self, now: float, service: S) -> None:
        """End it when it has waited too long."""

    def drain(self) -> None:
        """The loop wants to end."""

    def abort(self, service: S) -> None:
        """Something raised: end it."""


class End(Generic[S]):
    """An end. ``mask``: what it waits for; while that is nothing the poller does not have it, for it would report a
    hang-up again and again. ``armed``: no event has silenced it, as one does in a shared loop."""

    delivery = Delivery.OWN  # the tunnel rearms it in its turn
    watched = True

    def __init__(self, tunnel: TwoEnded[S], fd: int) -> None:
        self.tunnel = tunnel
        self.fd = fd
        self.mask = IN
        self.armed = True

    def begin(self) -> None:
        """The loop has it from now on."""
        loop = self.tunnel.loop
        loop.handlers[self.fd] = self
        loop.poller.register(self.fd, self.mask | loop.once)

    def on_event(self, events: int, service: S) -> None:
        """An event of either end may let both directions move."""
        self.armed = not self.tunnel.loop.shared
        self.tunnel.turn(service)

    def expire(self, now: float, service: S) -> None:
        self.tunnel.expire(now, service)

    def drain(self, service: S) -> None:
        self.tunnel.drain()

    def abort(self, service: S) -> None:
        """Something raised: the whole tunnel ends."""
        self.tunnel.abort(service)

    def wait_for(self, mask: int) -> None:
        """Wait for this from now on. In a shared loop that rearms the descriptor, which an event has silenced."""
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
