"""One WebSocket (RFC 6455), after its HTTP handshake. wsproto implements frames, masks and permessage-deflate
(RFC 7692)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from poolctl.runtime.protocol import Conversation
from poolctl.runtime.protocol.failure import Failure
from poolctl.runtime.protocol.http.limits import HttpLimits
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.protocol.websocket.handshake import BadHandshake, subprotocols_of, upgrade_of

INFLATE_BYTES = 4096  # bytes decompressed at once, so that a small input cannot expand far before it is counted
HELD_BYTES = 65536  # bytes that a client may send before the handshake is accepted
# RFC 6455, 7.4.1, and the registry of close codes
NORMAL, NO_STATUS, ABNORMAL, TOO_BIG, FAILURE, RESTART = 1000, 1005, 1006, 1009, 1011, 1012
WIRE_OPEN, WIRE_CLOSED = ConnectionState.OPEN, ConnectionState.CLOSED
CLOSES = (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING)


class WebSocketConversation(Conversation):
    """The state of one WebSocket; the caller does the I/O.

    ``messages``  complete messages, oldest first: str or bytes
    ``size``      their size: bytes of binary messages, characters of text
    ``out``       frames to send; the sender empties it
    ``closed``    the code and reason of the close, the client's or ours; None while it is open
    ``rude``      the client violated the protocol or a limit: nothing more that it sends is read
    """

    pending = False

    def __init__(self, http: HttpLimits, request: HttpRequest) -> None:
        """Raises BadHandshake if the request cannot become a WebSocket."""
        self.requests: deque[None] = deque()
        self.reply = b""
        self.failure: Failure | None = None
        self.request = request
        self.peer = request.conversation.peer
        self.subprotocols = subprotocols_of(request.headers)
        self.messages: deque[str | bytes] = deque()
        self.size = 0
        self.out = bytearray()
        self.closed: tuple[int, str] | None = None
        self.accepted = False
        self._limit = http.websocket_message
        self._deflate = http.websocket_deflate
        self._coming: list[str | bytes] = []  # the parts of an incomplete message
        self._coming_size = 0
        self.rude = False
        self._held = bytearray()  # bytes received before the handshake was accepted
        self._wire = WSConnection(ConnectionType.SERVER)
        try:
            self._wire.initiate_upgrade_connection(upgrade_of(request.headers, self.subprotocols), "/")
        except (LocalProtocolError, RemoteProtocolError, ValueError) as error:
            raise BadHandshake(Failure.MALFORMED) from error

    @property
    def over(self) -> bool:
        """Whether nothing more is read: both sides have closed it, the client has left, or it is ``rude``."""
        return self.rude or self._wire.state is WIRE_CLOSED or (self.closed is not None and self.closed[0] == ABNORMAL)

    def accept(self, subprotocol: str | None, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Accept the handshake. Raises LocalProtocolError or ValueError for an invalid subprotocol or header."""
        extensions: list[Extension] = [PerMessageDeflate()] if self._deflate else []
        answer = AcceptConnection(subprotocol, extensions, [(bytes(name), bytes(value)) for name, value in headers])
        self.out += self._wire.send(answer)
        self.accepted = True
        held, self._held = bytes(self._held), bytearray()
        if held:
            self.receive(held)

    def receive(self, data: bytes) -> None:
        """Parse bytes from the client, split anywhere."""
        if not self.accepted:
            self._held += data
            if len(self._held) > HELD_BYTES:
                self.closed = (ABNORMAL, "")
            return
        for start in range(0, len(data), INFLATE_BYTES):
            if self.rude or self._wire.state is WIRE_CLOSED:
                return
            self._wire.receive_data(data[start : start + INFLATE_BYTES])
            for event in self._wire.events():
                self._handle(event)

    def _handle(self, event: object) -> None:
        if isinstance(event, TextMessage | BytesMessage):
            if self.closed is None:
                self._add(event)
        elif isinstance(event, Ping):
            if self._wire.state is WIRE_OPEN:
                self.out += self._wire.send(event.response())
        elif isinstance(event, CloseConnection):
            if self._wire.state is WIRE_OPEN:  # not a close frame of the client: wsproto reports a protocol error
                self.rude = True
            if self.closed is None:
                self.closed = (int(event.code), event.reason or "")
            if self._wire.state in CLOSES:
                self.out += self._wire.send(event.response())

    def _add(self, event: TextMessage | BytesMessage) -> None:
        data = event.data if isinstance(event.data, str) else bytes(event.data)
        if data:
            self._coming.append(data)
        self._coming_size += len(data)
        if self._coming_size > self._limit:
            self._coming.clear()
            self.rude = True
            self.close(TOO_BIG, f"a message may have {self._limit} bytes")
        elif event.message_finished:
            several = len(self._coming) != 1
            whole = type(data)().join(self._coming) if several else self._coming[0]  # type: ignore[arg-type]
            self.messages.append(whole)
            self.size += self._coming_size
            self._coming.clear()
            self._coming_size = 0

    def take(self) -> str | bytes:
        """Remove and return the oldest message."""
        message = self.messages.popleft()
        self.size -= len(message)
        return message

    def send(self, message: str | bytes) -> None:
        """Add the frame of a message to ``out``."""
        self.out += self._wire.send(TextMessage(message) if isinstance(message, str) else BytesMessage(message))

    def ping(self) -> None:
        """Add a ping to ``out``, if the WebSocket is open."""
        if self._wire.state is WIRE_OPEN:
            self.out += self._wire.send(Ping())

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake, or end it if the client has begun it."""
        if self.closed is None:
            self.closed = (code, reason)
        if self._wire.state in CLOSES:
            # a control frame has at most 125 bytes, 2 of them for the code
            text = reason.encode()[:123].decode(errors="ignore")
            self.out += self._wire.send(CloseConnection(code, text))

    def ended(self) -> None:
        """The client has left, with or without a close frame."""
        if self.closed is None:
            self.closed = (ABNORMAL, "")
