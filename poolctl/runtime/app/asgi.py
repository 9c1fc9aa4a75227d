"""ASGI 3 applications (https://asgi.readthedocs.io, HTTP & WebSocket 2.4, Lifespan 2.0)."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from poolctl.errors import ClientGone
from poolctl.runtime.app import AsyncApp, Output, Surroundings
from poolctl.runtime.app.asgi_lifespan import Lifespan
from poolctl.runtime.app.asgi_scope import http_scope
from poolctl.runtime.app.target import load_callable
from poolctl.runtime.async_connection import AsyncConnection
from poolctl.runtime.protocol.http_encode import encode_header, known_lines, status_text
from poolctl.runtime.protocol.http_request import EMPTY, HttpRequest
from poolctl.runtime.protocol.http_response import HttpResponse

Message = dict[str, Any]
Application = Callable[[dict[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Any]
OURS = frozenset((b"connection", b"keep-alive", b"transfer-encoding"))  # the server's to say
START, BODY, END = range(3)  # what the app has to send next


class Exchange:
    """One request and its response: ``receive`` and ``send`` of one call of the application."""

    __slots__ = ("_connection", "_headers", "_read", "_request", "_response", "_state")

    def __init__(self, request: HttpRequest, connection: AsyncConnection) -> None:
        self._request = request
        self._connection = connection
        self._response = HttpResponse(request, connection)
        self._state = START
        self._read = False  # the whole body was given to the app

    @property
    def started(self) -> bool:
        return self._state != START

    @property
    def complete(self) -> bool:
        return self._state == END

    @property
    def keep(self) -> bool:
        """Whether the connection may be kept."""
        return self._response.keep

    async def receive(self) -> Message:
        """``http.request`` until the body is complete, then ``http.disconnect`` when the client leaves."""
        if self._state != END and not self._read:
            body: Any = self._request.body
            if body is EMPTY:
                self._read = True
                return {"type": "http.request", "body": b"", "more_body": False}
            data = await self._connection.body(body)
            if data is not None:
                self._read = body.done and not body.size
                return {"type": "http.request", "body": data, "more_body": not self._read}
        elif self._state != END:
            await self._connection.until_gone()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Raises ClientGone, an OSError, when the client has left; RuntimeError and others for what may not be sent."""
        kind = message["type"]
        if kind == "http.response.body":
            if self._state != BODY:
                raise RuntimeError(
                    f"{kind} was sent {'before' if self._state == START else 'after the end of'} a response"
                )
            self._body(message.get("body", b""), message.get("more_body", False))
            if self._connection.outbound is not None:
                await self._connection.until_drained()
        elif kind == "http.response.start":
            if self._state != START:
                raise RuntimeError("http.response.start was sent a second time")
            self._start(message["status"], message.get("headers", ()))
        else:
            raise ValueError(f"{kind!r} cannot be sent to an HTTP client: http.response.start and .body can")

    def _start(self, status: int, headers: Any) -> None:
        lines = []
        for header in headers:
            pair = header if type(header) is tuple else tuple(header)
            if pair in known_lines:
                lines.append(pair)
            else:
                self._learn(pair, lines)
        self._response.begin(status_text(status), lines)
        self._state = BODY

    def _learn(self, pair: tuple[bytes, bytes], lines: list[Any]) -> None:
        """A header that has not been sent lately. What ends the connection is taken as a wish."""
        name, value = pair
        lowered = name.lower()
        if lowered in OURS:
            if lowered == b"connection" and value.lower() == b"close":
                self._connection.last = True
            return
        text = name.decode("latin-1"), value.decode("latin-1")
        line = encode_header(text)
        if text in known_lines:  # short enough to be remembered: by these bytes too
            known_lines[pair] = line  # type: ignore[index]
        lines.append(text)

    def _body(self, body: Any, more: bool) -> None:
        if self._connection.gone:
            raise ClientGone("the client has left")
        response = self._response
        if self._connection.conversation.reply and not response.headed:
            self._connection.last = True  # the client waits to be asked for the body, and has not been
        if not isinstance(body, bytes):
            body = bytes(body)
        if more:
            response.write(body)
            return
        self._state = END
        if response.headed:
            response.write(body)
            response.finish()
        else:
            response.whole((body,))


@dataclass
class Asgi(AsyncApp):
    """The ASGI callable that a module names."""

    protocol: ClassVar[str] = "http"

    target: Annotated[
        str, Field(min_length=1, description="package.module:callable; a module alone means :application")
    ]
    lifespan: Annotated[
        Literal["auto", "on", "off"],
        Field(description="on: the app has to take part; auto: it may; off: it is not asked"),
    ] = "auto"

    def load(self, surroundings: Surroundings) -> None:
        """Import the application."""
        self._application: Application = load_callable(self.target, "application")
        self._state: dict[str, Any] = {}

    def life(self, events: AbstractEventLoop) -> Lifespan:
        """The start and the end of the application in one event loop."""
        return Lifespan(self._application, self.lifespan, events)

    def serve(self, request: Any, out: Output) -> bool:
        """Raises TypeError: this app is awaited."""
        raise TypeError("an ASGI app is asynchronous; await answer")

    async def answer(self, request: HttpRequest, connection: AsyncConnection) -> bool:
        """Call the application; whether the connection may be kept."""
        exchange = Exchange(request, connection)
        scope = http_scope(request, connection.loop.lifespan.state)
        await self._application(scope, exchange.receive, exchange.send)
        if not exchange.complete:
            if connection.gone:
                return False
            raise RuntimeError(
                "the application returned before its response was complete"
                if exchange.started
                else "the application returned without a response"
            )
        return exchange.keep
