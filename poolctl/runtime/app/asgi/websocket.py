"""One WebSocket of an ASGI application (ASGI WebSocket Message Format, spec 2.4, with websocket.http.response)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from poolctl.errors import ClientGone
from poolctl.runtime.app.asgi.output import WebSocketOutput
from poolctl.runtime.app.asgi.scope import ScopeMemo
from poolctl.runtime.protocol.http.encode import encode_raw, status_text
from poolctl.runtime.protocol.http.response import HttpResponse
from poolctl.runtime.protocol.websocket.conversation import FAILURE, NO_STATUS, NORMAL, WebSocketConversation

Message = dict[str, Any]
UNASKED, ASKED, ACCEPTED, DENIED, OVER = range(5)
STATE_NAMES = ("not accepted", "not accepted", "open", "refused", "closed")


class WebSocketExchange:
    """``receive`` and ``send`` of one call of the application."""

    ended = False  # the connection goes on until its close, whatever the application has sent
    keep = False

    def __init__(
        self, conversation: WebSocketConversation, connection: WebSocketOutput, application: Callable[..., Any]
    ) -> None:
        self._application = application
        self._conversation = conversation
        self._connection = connection
        self._state = UNASKED
        self._denial: HttpResponse | None = None

    def call(self) -> Awaitable[None]:
        """Call the application. Return its awaitable."""
        called: Awaitable[None] = self._application(self._scope(), self.receive, self.send)
        return called

    def _scope(self) -> dict[str, Any]:
        request = self._conversation.request
        conversation = request.conversation
        scope = ScopeMemo(conversation.peer, conversation.scheme, self._connection.loop.lifespan.state).scope(request)
        del scope["method"]
        scope["type"] = "websocket"
        scope["scheme"] = "wss" if scope["scheme"] == "https" else "ws"
        scope["subprotocols"] = self._conversation.subprotocols
        scope["extensions"] = {**scope.get("extensions", {}), "websocket.http.response": {}}
        return scope

    async def receive(self) -> Message:
        """Return ``websocket.connect``, then the messages of the client, then ``websocket.disconnect``."""
        if self._state == UNASKED:
            self._state = ASKED
            return {"type": "websocket.connect"}
        message = await self._connection.message()
        if message is None:
            code, reason = self._conversation.closed or (NO_STATUS, "")
            return {"type": "websocket.disconnect", "code": code, "reason": reason}
        kind = "text" if isinstance(message, str) else "bytes"
        return {"type": "websocket.receive", kind: message}

    async def send(self, message: Message) -> None:
        """Send a message. Raises ClientGone, an OSError, if the WebSocket is closed; RuntimeError and others if the
        message is not allowed now."""
        kind = message["type"]
        connection = self._connection
        if connection.gone or self._conversation.closed is not None:
            raise ClientGone("the WebSocket is closed")
        step = STEPS.get((self._state, kind))
        if step is None:
            raise RuntimeError(f"{kind} was sent while the WebSocket was {STATE_NAMES[self._state]}")
        step(self, message)
        connection.flush()
        if connection.outbound is not None:
            await connection.until_drained()

    def _accept(self, message: Message) -> None:
        self._conversation.accept(message.get("subprotocol"), message.get("headers", ()))
        self._state = ACCEPTED
        self._connection.flush()
        self._connection.part()

    def _send(self, message: Message) -> None:
        data = message.get("bytes")
        if data is None:
            data = message.get("text")
        if not isinstance(data, str | bytes):
            raise TypeError("websocket.send needs text, a str, or bytes")
        self._conversation.send(data)

    def _close(self, message: Message) -> None:
        self._state = OVER
        self._conversation.close(message.get("code", NORMAL), message.get("reason") or "")

    def _refuse(self, message: Message) -> None:
        self._state = OVER
        self._end(403)

    def _end(self, status: int) -> None:
        self._connection.refuse_handshake(status)

    def _deny(self, message: Message) -> None:
        self._connection.last = True
        self._denial = HttpResponse(self._conversation.request, self._connection)
        self._denial.begin(status_text(message["status"]), message.get("headers", ()), encode_raw)
        self._state = DENIED

    def _deny_with(self, message: Message) -> None:
        denial = self._denial
        assert denial is not None  # its start was sent
        denial.write(bytes(message.get("body", b"")))
        if not message.get("more_body", False):
            denial.finish()
            self._state = OVER

    def conclude(self) -> bool:
        """The application has returned: close the WebSocket if it is open, refuse its handshake if it was not accepted.
        Return True: there is nothing further to send."""
        if self._connection.gone:
            return True
        try:
            if self._state == ACCEPTED:
                self._conversation.close(NORMAL)
                self._connection.flush()
            elif self._state in (UNASKED, ASKED):
                self._end(500)
        except ClientGone:
            self._connection.client_left()
        return True

    def failed(self) -> None:
        """The application raised: close the WebSocket with an error, or refuse its handshake."""
        if self._connection.gone:
            return
        try:
            if self._state == ACCEPTED:
                self._conversation.close(FAILURE, "the application failed")
                self._connection.flush()
            elif self._state in (UNASKED, ASKED) or (self._denial is not None and not self._denial.headed):
                self._end(500)
        except ClientGone:
            self._connection.client_left()


STEPS: dict[tuple[int, str], Callable[[WebSocketExchange, Message], None]] = {
    (UNASKED, "websocket.accept"): WebSocketExchange._accept,
    (UNASKED, "websocket.close"): WebSocketExchange._refuse,
    (UNASKED, "websocket.http.response.start"): WebSocketExchange._deny,
    (ASKED, "websocket.accept"): WebSocketExchange._accept,
    (ASKED, "websocket.close"): WebSocketExchange._refuse,
    (ASKED, "websocket.http.response.start"): WebSocketExchange._deny,
    (DENIED, "websocket.http.response.body"): WebSocketExchange._deny_with,
    (ACCEPTED, "websocket.send"): WebSocketExchange._send,
    (ACCEPTED, "websocket.close"): WebSocketExchange._close,
}
