"""One client's TLS in a loop: the events of its two ends, its deadlines, and its end.

    client -- outer End --+                           +-- inner End -- a pair of sockets -- the connection behind
                          +--> Tunnel.turn: the pipe --+
                               moves bytes, then both
                               ends wait for events

After the handshake, the loop serves the other end of the pair. If the same loop serves it, its handler is called as
soon as the pipe has written something to it, which saves a round of the poller.

Several threads may run the loop. The thread that moves a tunnel holds its lock; only that thread arms, drops and closes
its ends. So no thread arms a descriptor that another one has closed.
"""

from __future__ import annotations

import logging
import ssl
from select import POLLERR, POLLHUP, POLLIN, poll
from threading import Lock
from typing import Generic

from poolctl.runtime.listen.door import Door, ServingLoop
from poolctl.runtime.listen.tls_pipe import TLS_APP_ENDED, TLS_CLOSED, TLS_HANDSHAKE, TlsPipe
from poolctl.runtime.listen.tunnel_end import End
from poolctl.runtime.loop.draining import NEWCOMER_SECONDS
from poolctl.runtime.loop.source import Handler, S
from poolctl.runtime.system.poller import IN, OUT
from poolctl.runtime.task import Peer

log = logging.getLogger("poolctl")


class Tunnel(Generic[S]):
    """The tunnel of one client. ``inner``: the inner end; ``behind``: descriptor of the connection behind. Both are set
    after the handshake, when the loop gets that connection."""

    def __init__(self, loop: ServingLoop[S], fd: int, peer: Peer, door: Door, context: ssl.SSLContext) -> None:
        self.loop = loop
        self.peer = peer
        self.door = door
        self.pipe = TlsPipe(fd, context, loop.now)
        self.outer = End(self, fd)
        self.inner: End[S] | None = None
        self.behind = -1
        self._served_by: Handler[S] | None = None  # the handler of the connection behind, if it is in this loop
        self._turn = Lock()

    def begin(self, service: S) -> None:
        """Register the outer end and begin the handshake with the bytes that have arrived."""
        self.outer.begin()
        self.turn(service)

    def turn(self, service: S) -> None:
        """Move bytes in both directions; after the handshake, have the loop serve the connection behind."""
        pipe, loop = self.pipe, self.loop
        with self._turn:
            newcomer = self._move(service)
        if newcomer:
            loop.serve(self.behind, self.peer, service, self.door)
            self._served_by = loop.handlers.get(self.behind)
        elif pipe.passed and self._served_by is not None and not loop.shared:
            if loop.handlers.get(self.behind) is self._served_by:
                loop.deliver(self._served_by, IN, service)
        else:
            return
        with self._turn:
            if pipe.phase is not TLS_CLOSED:
                try:
                    pipe.out(loop.now)
                except OSError as error:
                    self._fail(error, service)
                else:
                    self._settle()

    def _move(self, service: S) -> bool:
        """Move bytes. Returns whether this completed the handshake, so that the connection behind must be served."""
        pipe = self.pipe
        if pipe.phase is TLS_CLOSED:
            return False
        try:
            pipe.move(self.loop.now)
            newcomer = pipe.behind >= 0
            if newcomer:
                self._take_over()
        except (OSError, ValueError) as error:
            self._fail(error, service)
            return False
        self._settle()
        return newcomer

    def _take_over(self) -> None:
        """After the handshake: register the inner end and take the connection behind it from the pipe. From here on
        other threads may get events of both."""
        self.peer = self.peer._replace(subject=self.pipe.subject)
        self.inner = End(self, self.pipe.inner)
        self.inner.begin()
        self.behind = self.pipe.hand_over()

    def _settle(self) -> None:
        """Register both ends for the events that can come next; close the tunnel if none can."""
        pipe = self.pipe
        if pipe.phase is TLS_APP_ENDED:
            self._leave()
            self.loop.turn_away(pipe.outer, pipe.close())
            return
        phase, cipher, plain, inner, outer = pipe.phase, pipe.cipher, pipe.plain, self.inner, self.outer
        if inner is not None:
            mask = (IN if phase.reads_app and not cipher else 0) | (OUT if plain else 0)
            if mask != inner.mask or not inner.armed:
                inner.wait_for(mask)
        mask = (IN if phase.reads_client and not plain else 0) | (OUT if cipher else 0)
        if mask != outer.mask or not outer.armed:
            outer.wait_for(mask)

    def _leave(self) -> None:
        """Take both ends out of the loop; their descriptors stay open."""
        self.loop.remove(self.outer)
        if self.inner is not None:
            self.loop.remove(self.inner)

    def _fail(self, error: Exception, service: S) -> None:
        """End the tunnel after an error, with an alert to the client if ssl has one; the connection behind reads the
        end of file."""
        pipe = self.pipe
        if pipe.phase is TLS_CLOSED:
            return
        self._leave()
        words = pipe.close()
        if self.behind >= 0:
            log.debug("TLS connection of %s: %s; closed", self.peer.client, error)
            self.loop.turn_away(pipe.outer, words)
            return
        log.info("no TLS handshake with %s: %s", self.peer.client_host or "a unix socket", error)
        if getattr(error, "reason", "") == "HTTP_REQUEST":
            words = self.door.protocol.farewell(400, self.peer)
        self.loop.drop(pipe.outer, service, words)

    def abort(self, service: S) -> None:
        """Close both ends after an exception; the connection behind reads the end of file."""
        with self._turn:
            self._fail(OSError("the tunnel failed"), service)

    def expire(self, now: float, service: S) -> None:
        """End a tunnel whose handshake exceeds timeouts.head, or whose client takes no byte for timeouts.write."""
        if self._late(now):
            with self._turn:
                if self._late(now):  # again: another thread may have moved or ended it meanwhile
                    handshake = "draining" if self.loop.draining else "timeouts.head"
                    limit = handshake if self.pipe.phase is TLS_HANDSHAKE else "timeouts.write"
                    self._fail(TimeoutError(f"timed out ({limit})"), service)

    def _late(self, now: float) -> bool:
        pipe, timeouts, waited = self.pipe, self.loop.timeouts, now - self.pipe.since
        if not self.loop.draining:
            timeouts = timeouts.at(pipe.since)
        return (pipe.phase is TLS_HANDSHAKE and waited > timeouts.head) or (
            bool(pipe.cipher) and waited > timeouts.write
        )

    def unsent(self, end: End[S]) -> bool:
        """Whether ``end`` is the client's, which has not taken all bytes of the connection behind."""
        return end is self.outer and bool(self.pipe.cipher) and self.pipe.phase.reads_app

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
            self._fail(TimeoutError("timed out (timeouts.stream)"), service)
            return True

    def drain(self) -> None:
        """Give a handshake in progress NEWCOMER more seconds. After it, the connection behind drains itself."""
        if self.pipe.phase is TLS_HANDSHAKE:
            self.pipe.since = min(self.pipe.since, self.loop.now - self.loop.timeouts.head + NEWCOMER_SECONDS)
