"""A door for proxies that announce their client in a header before its first byte (PROXY protocol).

accept --> ProxyDoor.enter -- a proxy --> Announcement: waits for the header --> the next door, with the client as peer
                           -- another client ------------------------------------> the next door
"""

from __future__ import annotations

import logging
from socket import MSG_PEEK
from socket import socket as Socket
from threading import Lock
from typing import Generic

from poolctl.runtime.listen.door import Door, ServingLoop
from poolctl.runtime.loop.draining import NEWCOMER_SECONDS
from poolctl.runtime.loop.source import Delivery, S
from poolctl.runtime.protocol.proxy_header import PROXY_HEADER_BYTES, ProxyHeader, read_header
from poolctl.runtime.system.channel import DONTWAIT
from poolctl.runtime.system.poller import IN
from poolctl.runtime.system.trust import Trust
from poolctl.runtime.task import Peer

log = logging.getLogger("poolctl")
PEEK_FLAGS = MSG_PEEK | DONTWAIT


class ProxyDoor(Door):
    """Requires the header of proxies that the topology trusts; reads nothing from other clients."""

    def __init__(self, within: Door, trust: Trust) -> None:
        super().__init__(within.protocol, within.number)
        self._within = within
        self.scheme = within.scheme
        self._trust = trust

    @property
    def last(self) -> Door:
        return self._within.last

    def busy(self, peer: Peer) -> bytes:
        """Return the refusal of the door behind this one: the header makes no difference."""
        return self._within.busy(peer)

    def enter(self, loop: ServingLoop[S], fd: int, peer: Peer, service: S) -> None:
        """Wait for the header if the client is a trusted proxy; otherwise pass it to the next door."""
        if not self._trust.holds(peer.client_host):
            self._within.enter(loop, fd, peer, service)
            return
        Announcement(loop, fd, peer, self._within).begin(service)


class Announcement(Generic[S]):
    """A connection whose header is incomplete. No byte after the header is taken from the socket, so for the next door
    the connection begins after the header."""

    mask = IN
    delivery = Delivery.ONE_SHOT
    watched = False

    def __init__(self, loop: ServingLoop[S], fd: int, peer: Peer, door: Door) -> None:
        self.loop = loop
        self.fd = fd
        self.peer = peer
        self.door = door
        self._held = b""
        self._until = loop.now + (NEWCOMER_SECONDS if loop.draining else loop.timeouts.head)
        self._over = False  # the descriptor has passed to the next door or to the loop
        self._turn = Lock()  # several threads may run the loop

    def begin(self, service: S) -> None:
        """Read what has arrived, usually the whole header, and register for the rest. During the first read the loop
        has the handler, so that a drain waits for it, but the poller does not have the descriptor: an event would make
        another thread read the same bytes."""
        with self._turn:
            self.loop.handlers[self.fd] = self
            self._look(service)
            if not self._over:
                self.loop.add(self)

    def on_event(self, events: int, service: S) -> None:
        """Read more of the header, or the end of file."""
        with self._turn:
            if not self._over:
                self._look(service)

    def _look(self, service: S) -> None:
        with Socket(fileno=self.fd) as sock:
            try:
                sock.setblocking(False)  # the app may have chosen another default
                self._read(sock, service)
            finally:
                sock.detach()

    def _read(self, sock: Socket, service: S) -> None:
        held = len(self._held)
        try:
            data = sock.recv(PROXY_HEADER_BYTES - held, PEEK_FLAGS)
            header = read_header(self._held + data) if data else None
            sock.recv(header.size - held if header else len(data), DONTWAIT)
        except BlockingIOError:
            return
        except (OSError, ValueError) as error:
            self._refuse(str(error), service)
            return
        if not data:
            self._refuse("the connection ended", service)
        elif header is None:
            self._held += data
        else:
            self._leave()
            try:
                self.door.enter(self.loop, self.fd, self._announced(header), service)
            except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
                self.loop.fail_newcomer(self.fd, service, error)

    def _announced(self, header: ProxyHeader) -> Peer:
        if header.client is None or header.server is None:
            return self.peer
        return Peer(*header.client, *header.server)

    def _refuse(self, reason: str, service: S) -> None:
        log.warning("no PROXY header from %s: %s", self.peer.client_host or "a unix socket", reason)
        self._leave()
        self.loop.drop(self.fd, service)

    def abort(self, service: S) -> None:
        """Drop the connection, unless the next door already has it."""
        with self._turn:
            if not self._over:
                self._leave()
                self.loop.drop(self.fd, service)

    def _leave(self) -> None:
        self._over = True
        self.loop.remove(self)

    def expire(self, now: float, service: S) -> None:
        """Refuse a client whose header is late, as one whose header is malformed."""
        if now > self._until and self._turn.acquire(blocking=False):
            try:
                if not self._over:
                    self._refuse(f"timed out ({'draining' if self.loop.draining else 'timeouts.head'})", service)
            finally:
                self._turn.release()

    def drain(self, service: S) -> None:
        """Wait for the header for at most NEWCOMER more seconds."""
        self._until = min(self._until, self.loop.now + NEWCOMER_SECONDS)
