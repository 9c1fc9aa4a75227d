"""A door that speaks TLS (RFC 8446): the connection behind it is a plain one.

    client == TLS == outer end [ Tunnel ] inner end -- a pair of sockets -- the connection, its worker, its app

The loop that has the connection also has the tunnel. The connection behind it can be read, written, lent to another
process, sent a file and owned like a client's own socket: the code for these exists once and knows nothing of TLS. The
price is one more pass through the kernel in each direction, and two more descriptors for each client.
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
        Tunnel(loop, fd, peer, self, self._context).begin(service)
