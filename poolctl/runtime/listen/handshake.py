"""The TLS handshake of one client in a loop: its events, its deadline, and its end.

    accept --> TlsDoor.enter --> Handshake -- complete --> TlsDoor.secured --> the connection, or a tunnel before it
                                   +--> loop.drop, with an alert if ssl has one

Several threads may run the loop. The thread that makes a step holds the handshake's lock, so no other one can end it
meanwhile.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeAlias

from poolctl.runtime.listen.door import Door, ServingLoop
from poolctl.runtime.listen.tls import subject
from poolctl.runtime.listen.tls_socket import TlsSocket
from poolctl.runtime.loop.draining import NEWCOMER_SECONDS
from poolctl.runtime.loop.source import Delivery, S
from poolctl.runtime.system.poller import IN, OUT
from poolctl.runtime.task import Peer

log = logging.getLogger("poolctl")
# Serves a client whose handshake is complete, given (loop, descriptor, TLS, peer, service).
Secured: TypeAlias = Callable[[ServingLoop[S], int, TlsSocket, Peer, S], None]


class Handshake(Generic[S]):
    """The handshake of one client. ``secured``: called once it is complete, and puts another handler in the place of
    this one; ``since``: when it began, on the monotonic clock."""

    delivery = Delivery.OWN  # rearmed under its lock, so never once it is complete
    watched = False

    def __init__(
        self,
        loop: ServingLoop[S],
        fd: int,
        peer: Peer,
        door: Door,
        context: ssl.SSLContext,
        secured: Secured[S],
    ) -> None:
        self.loop = loop
        self.fd = fd
        self.mask = IN
        self.peer = peer
        self.door = door
        self.tls = TlsSocket(context)
        self._secured = secured
        self.since = loop.now
        self._complete = False
        self._turn = Lock()

    def __str__(self) -> str:
        return f"the TLS handshake with {self._client}"

    @property
    def _client(self) -> str:
        return self.peer.client_host or "a unix socket"

    def begin(self, service: S) -> None:
        """Begin with the bytes that have arrived."""
        self.loop.add(self)
        self.on_event(IN, service)

    def on_event(self, events: int, service: S) -> None:
        """Make a step; once the handshake is complete, have the loop serve the connection."""
        with self._turn:
            complete = self.loop.handlers.get(self.fd) is self and not self._complete and self._step(service)
        if complete:
            try:
                self._secured(self.loop, self.fd, self.tls, self.peer, service)
            except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
                self.loop.fail_newcomer(self.fd, service, error)

    def _step(self, service: S) -> bool:
        """Make a step. Returns whether the handshake is complete; then the loop reports no more events of it."""
        try:
            self._complete = self.tls.shake(self.fd)
            if self._complete:
                self.peer = self.peer._replace(subject=subject(self.tls.certificate))
        except BlockingIOError:
            self._complete = False
        except (OSError, ValueError) as error:
            self._fail(error, service)
            return False
        if self._complete:
            self.loop.mute(self)
            return True
        mask = IN | (OUT if self.tls.unsent else 0)
        if mask != self.mask or self.loop.shared:
            self.mask = mask
            self.loop.poller.modify(self.fd, mask | self.loop.once)
        return False

    def _fail(self, error: Exception, service: S) -> None:
        """End the connection, with an alert if ssl has one. A client that speaks HTTP gets a 400."""
        if not self.loop.remove(self):
            return
        log.info("no TLS handshake with %s: %s", self._client, error)
        if getattr(error, "reason", "") == "HTTP_REQUEST":
            self.loop.drop(self.fd, service, self.door.protocol.farewell(400, self.peer))
        else:
            self.loop.drop(self.fd, service, self.tls.end())

    def expire(self, now: float, service: S) -> None:
        """End a handshake that exceeds timeouts.head."""
        loop, timeouts = self.loop, self.loop.timeouts
        if now - self.since > (timeouts.head if loop.draining else timeouts.at(self.since).head):
            with self._turn:
                if not self._complete:  # by another thread meanwhile
                    limit = "draining" if loop.draining else "timeouts.head"
                    self._fail(TimeoutError(f"timed out ({limit})"), service)

    def drain(self, service: S) -> None:
        """Give it NEWCOMER_SECONDS more."""
        self.since = min(self.since, self.loop.now - self.loop.timeouts.head + NEWCOMER_SECONDS)

    def abort(self, service: S) -> None:
        """End it after an exception."""
        with self._turn:
            self._fail(OSError("poolctl failed"), service)
