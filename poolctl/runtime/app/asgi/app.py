"""ASGI 3 applications (https://asgi.readthedocs.io, HTTP & WebSocket 2.4, Lifespan 2.0)."""

from __future__ import annotations

import os
import stat
from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from poolctl.errors import ClientGone
from poolctl.runtime.app import ExchangeApp, Surroundings
from poolctl.runtime.app.asgi.lifespan import Lifespan
from poolctl.runtime.app.asgi.output import AsgiOutput, WebSocketOutput
from poolctl.runtime.app.asgi.scope import ScopeMemo
from poolctl.runtime.app.functions.target import load_asgi
from poolctl.runtime.protocol.http.encode import TEXTS, encode_raw, status_text
from poolctl.runtime.protocol.http.request import EMPTY, HttpRequest
from poolctl.runtime.protocol.http.response import UNKNOWN, HttpResponse
from poolctl.runtime.protocol.output import Output, Presence

if TYPE_CHECKING:
    from poolctl.runtime.app.asgi.websocket import WebSocketExchange
    from poolctl.runtime.protocol.websocket.conversation import WebSocketConversation

Message = dict[str, Any]
Application = Callable[[dict[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Any]
HERE, GONE = Presence.HERE, Presence.GONE
START, BODY, END = range(3)  # what the app has to send next
# What it was told: nothing, that it is to end, that its client sends no more, and then gets nothing more either.
NOTHING, TO_LEAVE, LEFT = range(3)


class HttpExchange(HttpResponse):
    """One request and its response: ``receive`` and ``send`` of one call of the application."""

    __slots__ = ("_application", "_heard", "_read", "_state")

    out: AsgiOutput

    def __init__(self, request: HttpRequest, connection: AsgiOutput, application: Application) -> None:
        # HttpResponse.__init__ written out: a call is more than what all of this may cost a request
        self.request = request
        self.out = connection
        self._status = None
        self._headed = False
        self.keep = True
        self.mismatch = ""
        self._application = application
        self._state = START
        self._read = False  # the whole body was given to the app
        self._heard = NOTHING  # by http.disconnect

    def call(self) -> Awaitable[None]:
        """Call the application."""
        request = self.request
        conversation = request.conversation
        memo = conversation.memo
        if memo is None:
            memo = conversation.memo = ScopeMemo(conversation.peer, conversation.scheme)
        scope = memo.scope(request, self.out.loop.lifespan.state)
        called: Awaitable[None] = self._application(scope, self.receive, self.send)
        return called

    @property
    def ended(self) -> bool:
        """Whether the response is complete."""
        return self._state == END

    def conclude(self) -> bool:
        """The application has returned: whether the connection may be kept. Raises RuntimeError when that is too
        early."""
        if self._state == END:
            return self.keep
        if self._heard or self.out.presence is GONE or self.out.conversation.failure:
            return False
        if self._state == BODY:
            raise RuntimeError("the application returned before its response was complete")
        raise RuntimeError("the application returned without a response")

    async def receive(self) -> Message:
        """``http.request`` until the body is complete, then ``http.disconnect`` when the client leaves."""
        if self._state != END and not self._read:
            body: Any = self.request.body
            if body is EMPTY:
                self._read = True
                return {"type": "http.request", "body": b"", "more_body": False}
            data = await self.out.body(body)
            if data is not None:
                self._read = body.done and not body.size
                return {"type": "http.request", "body": data, "more_body": not self._read}
        else:
            while not self._over():
                await self.out.news()
        if self._heard != LEFT:
            self._heard = LEFT if self._state != END and self.out.presence is not HERE else TO_LEAVE
        return {"type": "http.disconnect"}

    def _over(self) -> bool:
        """Whether it is time for ``http.disconnect``: the client is gone or sends no more, the response is complete, or
        the server stops.

        Then an open stream is told at once, and so is a request that does nothing else than wait for this. A request
        that has somebody else listen, as Django does for each, may be an ordinary one: it is told later.
        """
        out = self.out
        if self._state == END or out.presence is not HERE:
            return True
        return out.loop.stopping.tells(streams=self._headed and self._length == UNKNOWN)

    @property
    def _unasked(self) -> bool:
        """Whether the client waits for 100 Continue, and will not get it: then nobody knows whether its next bytes are
        a body or a request, so the response is the last one."""
        body: Any = self.request.body
        return body is not EMPTY and bool(body.reply)

    async def send(self, message: Message) -> None:  # noqa: C901  # a branch for each message
        """Raises ClientGone, an OSError, when the client has left; RuntimeError and others for what may not be sent."""
        kind = message["type"]
        if kind == "http.response.body":
            if self._state != BODY:
                raise RuntimeError(
                    f"{kind} was sent {'before' if self._state == START else 'after the end of'} a response"
                )
            out = self.out
            if out.presence is GONE or self._heard == LEFT:
                raise ClientGone("the client has left")
            body = message.get("body", b"")
            if type(body) is not bytes:
                body = bytes(body)
            if self._headed or message.get("more_body", False):
                self._part(body, message.get("more_body", False))
                if self._state == BODY and out.outbound is not None:
                    await out.until_drained()
                return
            if self._unasked:
                out.last = True
            self._state = END
            self.only(body)
            out.complete(self)
        elif kind == "http.response.start":
            if self._state != START:
                raise RuntimeError("http.response.start was sent a second time")
            self.begin(
                TEXTS.get(message["status"]) or status_text(message["status"]), message.get("headers", ()), encode_raw
            )
            self._state = BODY
        elif kind == "http.response.pathsend":
            if self._state != BODY or self._headed:
                raise RuntimeError(f"{kind} was sent without a response that it could be the whole body of")
            self._file(message["path"])  # nobody waits for the client: what it does not take stays in the file
        else:
            raise ValueError(f"{kind!r} cannot be sent to an HTTP client: http.response.start, .body and .pathsend can")

    def _file(self, path: str) -> None:
        """The body is the regular file of this path. Raises OSError when it cannot be read."""
        out = self.out
        if out.presence is GONE or self._heard == LEFT:
            raise ClientGone("the client has left")
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise ValueError(f"http.response.pathsend sends regular files, and {path!r} is none")
            if self._unasked:
                out.last = True
            self.write_file(file, 0, status.st_size)
            self.finish()
        finally:
            os.close(file)
        self._state = END  # not before: an error on the way leaves it incomplete
        out.complete(self)

    def _part(self, body: bytes, more: bool) -> None:
        """A part of the body, which is not all of it."""
        out = self.out
        if not self._headed and self._unasked:
            out.last = True
        if not self._headed and not body:
            out.send(self._head())  # who opens a stream waits for this
        self.write(body)
        if not more:
            self._state = END
            self.finish()
            out.complete(self)


@dataclass
class Asgi(ExchangeApp):
    """The ASGI callable that a module names."""

    protocol: ClassVar[str] = "http"

    target: Annotated[
        str, Field(min_length=1, description="package.module:callable; a module alone means :application")
    ]
    lifespan: Annotated[
        Literal["auto", "on", "off"],
        Field(description="on: the app has to take part; auto: it may; off: it is not asked"),
    ] = "auto"
    concurrency: Annotated[
        int, Field(ge=1, le=4096, description="requests that are lent to one worker at once (half-sync/half-reactive)")
    ] = 100

    def load(self, surroundings: Surroundings) -> None:
        """Import the application."""
        self._application: Application = load_asgi(self.target)
        self._state: dict[str, Any] = {}

    def life(self, events: AbstractEventLoop) -> Lifespan:
        """The start and the end of the application in one event loop."""
        return Lifespan(self._application, self.lifespan, events)

    def serve(self, request: Any, out: Output) -> bool:
        """Raises TypeError: this app is awaited."""
        raise TypeError("an ASGI app is asynchronous; await answer")

    def exchange(self, request: HttpRequest, connection: AsgiOutput) -> HttpExchange:
        """What answers one request: await ``call``, then ask ``conclude``."""
        return HttpExchange(request, connection, self._application)

    def websocket(self, conversation: WebSocketConversation, connection: WebSocketOutput) -> WebSocketExchange:
        """What talks through one WebSocket: await ``call``, then ``conclude``, or say that it ``failed``."""
        from poolctl.runtime.app.asgi.websocket import WebSocketExchange  # wsproto need not be there otherwise

        return WebSocketExchange(conversation, connection, self._application)
