"""A door that speaks TLS (RFC 8446): after the handshake the connection is served as a plain one.

    Handshake --> secured +-- the connection reads and writes through TlsSocket   where a loop owns its connections
                          +-- Tunnel == a pair of sockets == the connection       where others need its descriptor

The loop that has the connection encrypts and decrypts. Under half-sync/half-reactive the front lends the connection to
a worker, and a `stream` app owns it: both read and write a descriptor, so they get one end of a pair of sockets, and a
tunnel in the loop moves the bytes. The price is one more pass through the kernel in each direction, and two more
descriptors for each client.
"""

from __future__ import annotations

import logging
import ssl

from poolctl.runtime.listen.door import Door, ServingLoop
from poolctl.runtime.listen.handshake import Handshake
from poolctl.runtime.listen.tls_socket import TlsSocket
from poolctl.runtime.listen.tunnel import Tunnel
from poolctl.runtime.loop.source import S, reason
from poolctl.runtime.protocol import Conversation
from poolctl.runtime.task import Peer

log = logging.getLogger("poolctl")
ALERT = b"\x15\x03\x03\x00\x02\x02\x50"  # a record: fatal, internal_error (RFC 8446, 5.1 and 6.2)


class TlsDoor(Door):
    """Every client begins with a TLS handshake."""

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

    def _streaming(self, peer: Peer) -> Conversation:
        made = self.protocol.streaming(peer)
        made.scheme = self.scheme
        return made

    def busy(self, peer: Peer) -> bytes:
        """Return an alert, the only refusal that is possible before the handshake."""
        return ALERT

    def enter(self, loop: ServingLoop[S], fd: int, peer: Peer, service: S) -> None:
        """Begin the handshake."""
        Handshake(loop, fd, peer, self, self._context, self.secured).begin(service)

    def secured(self, loop: ServingLoop[S], fd: int, tls: TlsSocket, peer: Peer, service: S) -> None:
        """Serve a client whose handshake is complete."""
        if loop.takes_tls:
            loop.serve(fd, peer, service, self, tls)
            return
        try:
            tunnel = Tunnel(loop, fd, tls, peer, self)
        except OSError as error:
            log.error("closed a connection: no pair of sockets for its TLS: %s", reason(error))
            loop.remove(loop.handlers[fd])
            loop.drop(fd, service, tls.end())
        else:
            tunnel.begin(service)
