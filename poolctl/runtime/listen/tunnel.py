"""Moves the bytes between one client's TLS and the connection behind it: the events of both ends, and the end.

    client -- outer End --+                           +-- inner End -- a pair of sockets -- the connection behind
                          +--> Tunnel.turn: the pipe --+
                               moves bytes, then both
                               ends wait for events

The loop serves the other end of the pair. If the same loop serves it, its handler is called as soon as the pipe has
written something to it, which saves a round of the poller.

Several threads may run the loop. The thread that moves a tunnel holds its lock; only that thread arms, drops and closes
its ends. So no thread arms a descriptor that another one has closed.
"""

from __future__ import annotations

import logging
from select import POLLERR, POLLHUP, POLLIN, poll
from threading import Lock
from typing import Generic

from poolctl.runtime.listen.door import Door, ServingLoop
from poolctl.runtime.listen.tls_pipe import TLS_APP_ENDED, TLS_CLOSED, TlsPipe
from poolctl.runtime.listen.tls_socket import TlsSocket
from poolctl.runtime.listen.tunnel_end import End
from poolctl.runtime.loop.source import Handler, S
from poolctl.runtime.system.poller import IN, OUT
from poolctl.runtime.task import Peer

log = logging.getLogger("poolctl")


class Tunnel(Generic[S]):
    """The tunnel of one client, whose handshake is complete. ``inner``: the inner end; ``behind``: descriptor of the
    connection behind. Raises OSError if there is no descriptor for these."""

    def __init__(self, loop: ServingLoop[S], fd: int, tls: TlsSocket, peer: Peer, door: Door) -> None:
        self.loop = loop
        self.peer = peer
        self.door = door
        self.pipe = TlsPipe(fd, tls, loop.now)
        self.outer = End(self, fd)
        self.inner = End(self, self.pipe.inner)
        self.behind = self.pipe.behind
        self._served_by: Handler[S] | None = None  # the handler of the connection behind, if it is in this loop
        self._turn = Lock()

    def begin(self, service: S) -> None:
        """Move the bytes that have arrived, then have the loop serve the connection behind."""
        with self._turn:
            # From here on other threads may get events of both.
            self.outer.begin()
            self.inner.begin()
            self.pipe.hand_over()
            self._move(service)
        self.loop.serve(self.behind, self.peer, service, self.door)
        self._served_by = self.loop.handlers.get(self.behind)
        self._answer(service)

    def turn(self, service: S) -> None:
        """Move bytes in both directions."""
        pipe, loop = self.pipe, self.loop
        with self._turn:
            self._move(service)
        if pipe.passed and self._served_by is not None and not loop.shared:
            if loop.handlers.get(self.behind) is self._served_by:
                loop.deliver(self._served_by, IN, service)
            self._answer(service)

    def _answer(self, service: S) -> None:
        """Send what the connection behind has written, without a round of the poller."""
        pipe = self.pipe
        with self._turn:
            if pipe.phase is not TLS_CLOSED:
                try:
                    pipe.out(self.loop.now)
                except OSError as error:
                    self._fail(error)
                else:
                    self._settle()

    def _move(self, service: S) -> None:
        pipe = self.pipe
        if pipe.phase is TLS_CLOSED:
            return
        try:
            pipe.move(self.loop.now)
        except OSError as error:
            self._fail(error)
        else:
            self._settle()

    def _settle(self) -> None:
        """Register both ends for the events that can come next; close the tunnel if none can."""
        pipe = self.pipe
        if pipe.phase is TLS_APP_ENDED:
            self._leave()
            self.loop.turn_away(pipe.outer, pipe.close())
            return
        phase, kept, plain, inner, outer = pipe.phase, pipe.kept, pipe.plain, self.inner, self.outer
        mask = (IN if phase.reads_app and not kept else 0) | (OUT if plain else 0)
        if mask != inner.mask or not inner.armed:
            inner.wait_for(mask)
        mask = (IN if phase.reads_client and not plain else 0) | (OUT if kept else 0)
        if mask != outer.mask or not outer.armed:
            outer.wait_for(mask)

    def _leave(self) -> None:
        """Take both ends out of the loop; their descriptors stay open."""
        self.loop.remove(self.outer)
        self.loop.remove(self.inner)

    def _fail(self, error: Exception) -> None:
        """End the tunnel after an error, with an alert to the client if ssl has one; the connection behind reads the
        end of file."""
        if self.pipe.phase is TLS_CLOSED:
            return
        self._leave()
        log.debug("TLS connection of %s: %s; closed", self.peer.client, error)
        self.loop.turn_away(self.pipe.outer, self.pipe.close())

    def abort(self, service: S) -> None:
        """Close both ends after an exception; the connection behind reads the end of file."""
        with self._turn:
            self._fail(OSError("the tunnel failed"))

    def expire(self, now: float, service: S) -> None:
        """End a tunnel whose client takes no byte for timeouts.write."""
        if self._late(now):
            with self._turn:
                if self._late(now):  # again: another thread may have moved or ended it meanwhile
                    self._fail(TimeoutError("timed out (timeouts.write)"))

    def _late(self, now: float) -> bool:
        pipe, timeouts = self.pipe, self.loop.timeouts
        if not self.loop.draining:
            timeouts = timeouts.at(pipe.since)
        return bool(pipe.kept) and now - pipe.since > timeouts.write

    def unsent(self, end: End[S]) -> bool:
        """Whether ``end`` is the client's, which has not taken all bytes of the connection behind."""
        return end is self.outer and bool(self.pipe.kept) and self.pipe.phase.reads_app

    def cut(self, service: S) -> bool:
        """In a drain the client has taken too long: close the tunnel if the connection behind has ended, so that only
        the tunnel is left. Returns whether it has; it is cut and counted itself before that."""
        with self._turn:
            if not self.unsent(self.outer):
                return True
            events = poll()
            events.register(self.pipe.inner, POLLIN)
            if not any(event & (POLLHUP | POLLERR) for _, event in events.poll(0)):
                return False
            self._fail(TimeoutError("timed out (timeouts.stream)"))
            return True
