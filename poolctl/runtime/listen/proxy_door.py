"""A door for proxies that first say for which client they connect (PROXY protocol).

accept --> ProxyDoor.enter -- a proxy --> Announcement: waits for the header --> the next door, with the client as peer
                           -- anybody else --------------------------------------> the next door
"""

from __future__ import annotations

import logging
from socket import MSG_PEEK
from socket import socket as Socket
from threading import Lock
from typing import Generic

from poolctl.runtime.listen.door import Door, ServingLoop
from poolctl.runtime.loop.source import Delivery, S
from poolctl.runtime.protocol.proxy_header import LONGEST, ProxyHeader, read_header
from poolctl.runtime.system.channel import DONTWAIT
from poolctl.runtime.system.poller import IN
from poolctl.runtime.system.trust import Trust
from poolctl.runtime.task import Peer

log = logging.getLogger("poolctl")
PEEK = MSG_PEEK | DONTWAIT
NEWCOMER = 1.0  # seconds that a drain waits for the header of a proxy that has just connected


class ProxyDoor(Door):
    """Proxies that the topology names must begin with the header; what other clients send is not read here."""

    def __init__(self, within: Door, trust: Trust) -> None:
        super().__init__(within.protocol, within.number)
        self._within = within
        self.scheme = within.scheme
        self._trust = trust

    def busy(self, peer: Peer) -> bytes:
        """The same as without a header."""
        return self._within.busy(peer)

    def enter(self, loop: ServingLoop[S], fd: int, peer: Peer, service: S) -> None:
        """A client has come: wait for its header, if it is to have one."""
        if not self._trust.holds(peer.client_host):
            self._within.enter(loop, fd, peer, service)
            return
        Announcement(loop, fd, peer, self._within).begin(service)


class Announcement(Generic[S]):
    """A connection whose header is coming. No byte after the header is taken from the socket, so what comes next finds
    the connection as if it began there."""

    mask = IN
    delivery = Delivery.ONE_SHOT
    watched = False

    def __init__(self, loop: ServingLoop[S], fd: int, peer: Peer, door: Door) -> None:
        self.loop = loop
        self.fd = fd
        self.peer = peer
        self.door = door
        self._held = b""
        self._until = loop.now + (NEWCOMER if loop.draining else loop.timeouts.head)
        self._over = False  # the next door or the loop has the descriptor
        self._turn = Lock()  # several threads may run the loop

    def begin(self, service: S) -> None:
        """Read what has come: usually the whole header came with the connection. Until then the loop knows of it, so
        that a drain does, but not the poller: an event would bring another thread, which would read the same bytes."""
        with self._turn:
            self.loop.handlers[self.fd] = self
            self._look(service)
            if not self._over:
                self.loop.add(self)

    def on_event(self, events: int, service: S) -> None:
        """More of it has come, or the end."""
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
            data = sock.recv(LONGEST - held, PEEK)
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
        """Something raised: the end, unless the next door has the connection already."""
        with self._turn:
            if not self._over:
                self._leave()
                self.loop.drop(self.fd, service)

    def _leave(self) -> None:
        self._over = True
        self.loop.remove(self)

    def expire(self, now: float, service: S) -> None:
        """Silence ends like a wrong header."""
        if now > self._until and self._turn.acquire(blocking=False):
            try:
                if not self._over:
                    self._refuse("it did not come in time", service)
            finally:
                self._turn.release()

    def drain(self, service: S) -> None:
        """The header may still come; it is waited for only briefly."""
        self._until = min(self._until, self.loop.now + NEWCOMER)
