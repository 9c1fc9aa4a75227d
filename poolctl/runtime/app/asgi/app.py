"""ASGI 3 applications (https://asgi.readthedocs.io, HTTP & WebSocket 2.4, Lifespan 2.0)."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from poolctl.runtime.app import ExchangeApp, Surroundings
from poolctl.runtime.app.asgi.call import HEARD_LEFT, HEARD_TO_LEAVE, SEND_NOTHING, Application, HttpCall, Message
from poolctl.runtime.app.asgi.lifespan import Lifespan
from poolctl.runtime.app.asgi.output import AsgiOutput, WebSocketOutput
from poolctl.runtime.app.functions.target import load_asgi
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.protocol.output import HERE, Output

if TYPE_CHECKING:
    from poolctl.runtime.app.asgi.websocket import WebSocketExchange
    from poolctl.runtime.protocol.websocket.conversation import WebSocketConversation


class HttpExchange(HttpCall):
    """One request and its response: ``receive`` and ``send`` of one call of the application."""

    __slots__ = ()

    async def receive(self) -> Message:
        """Return ``http.request`` until the body is complete, then wait and return ``http.disconnect``."""
        if self._state != SEND_NOTHING and not self._read:
            inflow = self.request.inflow
            if inflow is None:
                self._read = True
                return {"type": "http.request", "body": b"", "more_body": False}
            data = await self.connection.body(inflow)
            if data is not None:
                self._read = inflow.done and not inflow.size
                return {"type": "http.request", "body": data, "more_body": not self._read}
        else:
            while not self.over():
                await self.connection.news()
        if self._heard != HEARD_LEFT:
            self._heard = (
                HEARD_LEFT if self._state != SEND_NOTHING and self.connection.presence is not HERE else HEARD_TO_LEAVE
            )
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Send a message. Raises what ``respond`` does."""
        if self.respond(message):
            await self.connection.until_drained()


@dataclass
class Asgi(ExchangeApp):
    """Serves the ASGI callable that the target names."""

    protocol: ClassVar[str] = "http"

    target: Annotated[
        str, Field(min_length=1, description="package.module:callable; the callable defaults to application")
    ]
    lifespan: Annotated[
        Literal["auto", "on", "off"],
        Field(description="on: the app must support lifespan events; auto: it may; off: it gets none"),
    ] = "auto"
    concurrency: Annotated[
        Annotated[int, Field(ge=1, le=4096)] | Literal["auto"],
        Field(
            description="requests lent to one worker at the same time (half-sync/half-reactive); auto: found from how"
            " long they take"
        ),
    ] = 100
    _warm: tuple[str, ...] = field(default=(), init=False, repr=False)  # targets of the surroundings

    def load(self, surroundings: Surroundings) -> None:
        """Import the application. Raises AppError."""
        self._application: Application = load_asgi(self.target)
        if surroundings.page is not None:
            self._application = surroundings.page.wrap_asgi(self._application)
        self._state: dict[str, Any] = {}
        self._warm = surroundings.warm

    def life(self, events: AbstractEventLoop) -> Lifespan:
        """Return the lifespan of the application in one event loop."""
        return Lifespan(self._application, self.lifespan, events, self._warm)

    def serve(self, request: Any, out: Output) -> bool:
        """Raise TypeError: this app is asynchronous."""
        raise TypeError("an ASGI app is asynchronous; use exchange")

    def exchange(self, request: HttpRequest, connection: AsgiOutput) -> HttpExchange:
        """Return the exchange for one request: await ``call``, then call ``conclude``."""
        return HttpExchange(request, connection, self._application)

    def websocket(self, conversation: WebSocketConversation, connection: WebSocketOutput) -> WebSocketExchange:
        """Return the call for one WebSocket: await ``call``, then call ``conclude``, or ``failed`` if it raised."""
        from poolctl.runtime.app.asgi.websocket import WebSocketExchange  # wsproto is optional

        return WebSocketExchange(conversation, connection, self._application)
