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
from poolctl.runtime.protocol.http_encode import encode_raw, status_text
from poolctl.runtime.protocol.http_request import EMPTY, HttpRequest
from poolctl.runtime.protocol.http_response import HttpResponse

Message = dict[str, Any]
Application = Callable[[dict[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Any]
START, BODY, END = range(3)  # what the app has to send next


class Exchange:
    """One request and its response: ``receive`` and ``send`` of one call of the application."""

    __slots__ = ("_application", "_connection", "_read", "_request", "_response", "_state")

    def __init__(self, request: HttpRequest, connection: AsyncConnection, application: Application) -> None:
        self._application = application
        self._request = request
        self._connection = connection
        self._response = HttpResponse(request, connection)
        self._state = START
        self._read = False  # the whole body was given to the app

    def call(self) -> Awaitable[None]:
        """Call the application."""
        scope = http_scope(self._request, self._connection.loop.lifespan.state)
        called: Awaitable[None] = self._application(scope, self.receive, self.send)
        return called

    def conclude(self) -> bool:
        """The application has returned: whether the connection may be kept. Raises RuntimeError when that is too
        early."""
        if self._state == END:
            return self._response.keep
        if self._connection.gone:
            return False
        if self._state == BODY:
            raise RuntimeError("the application returned before its response was complete")
        raise RuntimeError("the application returned without a response")

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
        self._response.begin(status_text(status), headers, encode_raw)
        self._state = BODY

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
        if response._headed:
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

    def exchange(self, request: HttpRequest, connection: AsyncConnection) -> Exchange:
        """What answers one request: await ``call``, then ask ``conclude``."""
        return Exchange(request, connection, self._application)
