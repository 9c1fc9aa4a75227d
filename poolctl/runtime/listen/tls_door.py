"""A door that speaks TLS (RFC 8446): what is behind it sees a plain connection.

    client == TLS == outer end [ Tunnel ] inner end -- a pair of sockets -- the connection, its worker, its app

The loop that has the connection has the tunnel too. So whoever serves it reads and writes, lends it to another process,
sends a file or owns it, as if the client were there itself: each is written once, and none knows of TLS. It costs a
pass through the kernel more in each direction, and two descriptors for each client.

Nothing here waits: the handshake is a state of the tunnel. What does not go out at once is kept, at most one read of 64
KiB for each direction, and nothing more is read from the other side until it has gone; so a slow client is felt by
whoever serves it, as without TLS.

Several threads may run the loop. The lock of a tunnel is held by the one that moves it; only that one arms its ends,
drops and closes them. So no thread arms a descriptor that another one has closed.
"""

from __future__ import annotations

import logging
import ssl
from os import close, read, write
from socket import SHUT_WR, SOCK_STREAM
from socket import socket as Socket
from threading import Lock
from typing import Any

from poolctl.runtime.listen.door import Door
from poolctl.runtime.listen.tls import subject
from poolctl.runtime.loop.source import Delivery
from poolctl.runtime.protocol import Conversation
from poolctl.runtime.system.channel import pair
from poolctl.runtime.system.poller import IN, OUT
from poolctl.runtime.task import Peer

log = logging.getLogger("poolctl")
READ = 65536
NEWCOMER = 1.0  # seconds that a drain waits for a handshake that has just begun


ALERT = b"\x15\x03\x03\x00\x02\x02\x50"  # a record: fatal, internal_error (RFC 8446, 5.1 and 6.2)


class TlsDoor(Door):
    """Every client has to shake hands."""

    scheme = "https"

    def __init__(self, within: Door, context: ssl.SSLContext) -> None:
        super().__init__(within.protocol, within.number)
        self._context = context
        self.conversation = self._conversation
        self.streaming = self._streaming

    def _conversation(self, peer: Peer) -> Conversation:
        made = self.protocol.conversation(peer)
        made.scheme = self.scheme
        return made

    def _streaming(self, peer: Peer) -> Any:
        made = self.protocol.streaming(peer)
        made.scheme = self.scheme
        return made

    def busy(self, peer: Peer) -> bytes:
        """Before the handshake there are no words but an alert."""
        return ALERT

    def enter(self, loop: Any, fd: int, peer: Peer, service: Any) -> None:
        """A client has come: its handshake begins."""
        tunnel = Tunnel(loop, fd, peer, self, self._context)
        tunnel.outer.begin()
        tunnel.turn(service)


class End:
    """One of the two descriptors of a tunnel. While it waits for nothing the poller does not have it: it would tell of
    a hang-up again and again."""

    delivery = Delivery.OWN  # the tunnel does it, in its turn
    watched = True

    def __init__(self, tunnel: Tunnel, fd: int) -> None:
        self.tunnel = tunnel
        self.fd = fd
        self.mask = IN
        self.armed = True  # it has not had an event that silenced it

    def begin(self) -> None:
        """The loop has it from now on."""
        loop = self.tunnel.loop
        loop.handlers[self.fd] = self
        loop.poller.register(self.fd, self.mask | loop.once)

    def on_event(self, events: int, service: Any) -> None:
        """Either end can move."""
        self.armed = not self.tunnel.loop.shared
        self.tunnel.turn(service)

    def expire(self, now: float, service: Any) -> None:
        """The tunnel knows."""
        self.tunnel.expire(now, service)

    def drain(self, service: Any) -> None:
        """The tunnel knows."""
        self.tunnel.drain()

    def abort(self, service: Any) -> None:
        """Something raised: the whole tunnel ends."""
        self.tunnel.abort(service)

    def want(self, mask: int) -> None:
        """Wait for this. In a shared loop an event silences the descriptor until that is said again."""
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


class Tunnel:
    """One client's TLS. Its states: handshake, open, and over."""

    def __init__(self, loop: Any, fd: int, peer: Peer, door: TlsDoor, context: ssl.SSLContext) -> None:
        self.loop = loop
        self.peer = peer
        self.door = door
        self.outer = End(self, fd)
        self.inner: End | None = None  # none in the handshake
        self._from_client = ssl.MemoryBIO()
        self._to_client = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._from_client, self._to_client, server_side=True)
        self._plain = b""  # decrypted, not taken by who serves it
        self._cipher = b""  # encrypted, not taken by the client
        self._client_ended = False
        self._app_ended = False
        self._taken = False  # the loop has the connection behind the pair, or is about to take it
        self._over = False
        self._turn = Lock()
        self._served_by: Any = None  # the handler behind the pair, where it is in this loop
        self._behind = -1  # its descriptor
        self._since = loop.now  # of the handshake, then of the last byte that the client took

    def turn(self, service: Any) -> None:
        """Move what can be moved, in both directions."""
        with self._turn:
            newcomer = self._move(service)
        if newcomer:
            self.loop.serve(self._behind, self.peer, service, self.door)
            self._served_by = self.loop.handlers.get(self._behind)
        elif self._passed and self._served_by is not None and not self.loop.shared:
            # who serves it need not wait for the poller to say so
            if self.loop.handlers.get(self._behind) is self._served_by:
                self.loop.deliver(self._served_by, IN, service)
        else:
            return
        with self._turn:
            if not self._over:
                try:
                    self._out()
                except OSError as error:
                    self._fail(error, service)
                else:
                    self._settle(service)

    def _move(self, service: Any) -> bool:
        """True when the handshake is done, and the connection can be taken."""
        self._passed = newcomer = False
        if self._over:
            return False
        try:
            if self._cipher:
                self._flush()
            self._in()
            if self.inner is None:
                newcomer = self._shake()
            if self.inner is not None:
                self._down()
                self._out()
        except (OSError, ValueError) as error:  # those of ssl are OSErrors
            self._fail(error, service)
            return False
        if newcomer:
            self._taken = True  # before another thread can have an event of it
        self._settle(service)
        return newcomer

    def _in(self) -> None:
        """Read what the client sent, unless what it sent before has not been taken."""
        if self._plain or self._client_ended:
            return
        try:
            data = read(self.outer.fd, READ)
        except BlockingIOError:
            return
        if data:
            self._from_client.write(data)
        else:
            self._from_client.write_eof()
            self._client_ended = True

    def _shake(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        self.peer = self.peer._replace(subject=subject(self._tls.getpeercert()))
        ours, theirs = pair(int(SOCK_STREAM))
        ours.setblocking(False)
        theirs.setblocking(False)
        self._behind = theirs.detach()
        self.inner = End(self, ours.detach())
        self.inner.begin()
        self._flush()
        return True

    def _down(self) -> None:
        """From the client to who serves it."""
        inner = self.inner
        assert inner is not None  # the handshake is over
        while not self._app_ended:
            if not self._plain:
                try:
                    self._plain = self._tls.read(READ)
                except ssl.SSLWantReadError:
                    return
                except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                    self._plain = b""
                if not self._plain:
                    self._client_ended = True
                    self._shut(inner.fd)
                    return
            try:
                count = write(inner.fd, self._plain)
            except BlockingIOError:
                return
            except OSError:  # nobody serves it any more; what that one said last is still to be read
                self._plain = b""
                return
            self._plain = self._plain[count:]
            self._passed = True
            # to be told by an exception that there is no more would cost more than the rest of this
            if not (self._plain or self._tls.pending() or self._from_client.pending or self._client_ended):
                return

    def _shut(self, fd: int) -> None:
        sock = Socket(fileno=fd)
        try:
            sock.shutdown(SHUT_WR)
        except OSError:
            log.debug("a connection was closed from both of its ends")
        finally:
            sock.detach()
        self._passed = True

    def _out(self) -> None:
        """From who serves it to the client."""
        inner = self.inner
        assert inner is not None  # the handshake is over
        while not self._cipher and not self._app_ended:
            try:
                data = read(inner.fd, READ)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._app_ended = True
                self._plain = b""
                return
            self._tls.write(data)
            self._flush()
            if len(data) < READ:
                return  # if more comes, the poller tells

    def _flush(self) -> None:
        """Send the client what is encrypted. Raises OSError when it has left."""
        while True:
            if not self._cipher:
                self._cipher = self._to_client.read()
                if not self._cipher:
                    return
            try:
                count = write(self.outer.fd, self._cipher)
            except BlockingIOError:
                return
            self._cipher = self._cipher[count:]
            self._since = self.loop.now

    def _settle(self, service: Any) -> None:
        """Wait for what can come next; end when nothing can."""
        cipher, plain = bool(self._cipher), bool(self._plain)
        if self.inner is None:
            if self._client_ended:
                self._fail(EOFError("it left"), service)
                return
        elif self._app_ended and not cipher:
            self._farewell()
            return
        else:
            self.inner.want((0 if cipher or self._app_ended else IN) | (OUT if plain else 0))
        self.outer.want((0 if plain or self._client_ended else IN) | (OUT if cipher else 0))

    def _farewell(self) -> None:
        """All is said: tell the client that this is the end (RFC 8446, 6.1), and no more."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            log.debug("the client's own farewell is not waited for")
        self._leave()
        self.loop.turn_away(self.outer.fd, self._to_client.read())

    def _leave(self) -> None:
        self._over = True
        self.loop.remove(self.outer)
        if self.inner is not None:
            self.loop.remove(self.inner)
            close(self.inner.fd)

    def _fail(self, error: Exception, service: Any) -> None:
        """The client broke off, or broke the rules. An alert may say why; who serves it finds the connection closed."""
        if self._over:
            return
        fd = self.outer.fd
        self._leave()
        words = self._to_client.read()
        if self._taken:
            log.debug("a TLS connection ended: %s", error)
            self.loop.turn_away(fd, words)
            return
        if self._behind >= 0:
            close(self._behind)
        log.info("no TLS handshake with %s: %s", self.peer.client_host or "a unix socket", error)
        if getattr(error, "reason", "") == "HTTP_REQUEST":
            words = self.door.protocol.farewell(400, self.peer)
        self.loop.drop(fd, service, words)

    def abort(self, service: Any) -> None:
        """Something raised: both ends are closed, and whoever serves it finds the connection closed."""
        with self._turn:
            self._fail(OSError("the tunnel failed"), service)

    def expire(self, now: float, service: Any) -> None:
        """A handshake has the time of a head, bytes on their way to the client that of a write."""
        if self._late(now):
            with self._turn:
                if self._late(now):  # still: another thread may have moved it, or ended it
                    self._fail(TimeoutError("it took too long"), service)

    def _late(self, now: float) -> bool:
        timeouts, waited = self.loop.timeouts, now - self._since
        return (self.inner is None and waited > timeouts.head) or (bool(self._cipher) and waited > timeouts.write)

    def drain(self) -> None:
        """A client in its handshake may have come to be served; not for long. Any other is drained by who serves it."""
        if self.inner is None:
            self._since = min(self._since, self.loop.now - self.loop.timeouts.head + NEWCOMER)
