"""A door that speaks TLS (RFC 8446): what is behind it sees a plain connection.

    client == TLS == outer end [ Tunnel ] inner end -- a pair of sockets -- the connection, its worker, its app

The loop that has the connection has the tunnel too. So the connection behind it is read and written, lent to another
process, sent a file or owned as if the client were there itself: each of these is written once, and none knows of TLS.
The price is one more pass through the kernel in each direction, and two descriptors for each client.
"""

from __future__ import annotations

import ssl

from poolctl.runtime.listen.door import Door, ServingLoop
from poolctl.runtime.listen.tunnel import Tunnel
from poolctl.runtime.loop.source import S
from poolctl.runtime.protocol import Conversation
from poolctl.runtime.task import Peer

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

    def _streaming(self, peer: Peer) -> Conversation:
        made = self.protocol.streaming(peer)
        made.scheme = self.scheme
        return made

    def busy(self, peer: Peer) -> bytes:
        """Before the handshake there are no words but an alert."""
        return ALERT

    def enter(self, loop: ServingLoop[S], fd: int, peer: Peer, service: S) -> None:
        """A client has come: its handshake begins."""
        Tunnel(loop, fd, peer, self, self._context).begin(service)
