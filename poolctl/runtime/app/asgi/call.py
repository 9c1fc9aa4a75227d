"""The call of an ASGI application for one HTTP request: its scope, and the response that its messages make.

This is the part that awaits nothing; ``HttpExchange`` in ``app.py`` has the rest.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Final

from mypy_extensions import mypyc_attr

from poolctl.errors import ClientGone
from poolctl.runtime.app.asgi.output import AsgiOutput
from poolctl.runtime.app.asgi.scope import ScopeMemo
from poolctl.runtime.protocol.http.encode import STATUS_TEXTS, encode_raw, status_text
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.protocol.http.response import UNKNOWN_LENGTH, HttpResponse
from poolctl.runtime.protocol.output import GONE, HERE

Message = dict[str, Any]
Application = Callable[[dict[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Any]
# What the app has to send next.
SEND_START: Final = 0
SEND_BODY: Final = 1
SEND_NOTHING: Final = 2
# What http.disconnect has meant to the app so far: not received, time to end, or the client left (nothing can be sent).
HEARD_NOTHING: Final = 0
HEARD_TO_LEAVE: Final = 1
HEARD_LEFT: Final = 2


@mypyc_attr(allow_interpreted_subclasses=True)
class HttpCall(HttpResponse, ABC):
    """One request and its response, but for what awaits."""

    __slots__ = ("_application", "_heard", "_read", "_state", "connection")

    def __init__(self, request: HttpRequest, connection: AsgiOutput, application: Application) -> None:
        # HttpResponse.__init__ inlined: calling it would take longer than all of these assignments
        self.request = request
        self.out = self.connection = connection
        self._status = None
        self._headed = False
        self.keep = True
        self.mismatch = ""
        self._application = application
        self._state = SEND_START
        self._read = False  # the whole body was given to the app
        self._heard = HEARD_NOTHING  # the last http.disconnect

    @abstractmethod
    def receive(self) -> Awaitable[Message]:
        """Return the next message for the application."""

    @abstractmethod
    def send(self, message: Message) -> Awaitable[None]:
        """Send a message of the application."""

    def call(self) -> Awaitable[None]:
        """Call the application. Return its awaitable."""
        request = self.request
        conversation = request.conversation
        memo: ScopeMemo | None = conversation.memo
        if memo is None:
            memo = ScopeMemo(conversation.peer, conversation.scheme, self.connection.loop.lifespan.state)
            conversation.memo = memo
        called: Awaitable[None] = self._application(memo.scope(request), self.receive, self.send)
        return called

    @property
    def ended(self) -> bool:
        """Whether the response is complete."""
        return self._state == SEND_NOTHING

    def conclude(self) -> bool:
        """The application has returned. Return whether the connection may be kept. Raises RuntimeError if the response
        is not complete, unless the app got http.disconnect, the client has left, or the conversation failed."""
        if self._state == SEND_NOTHING:
            return self.keep
        if self._heard or self.connection.presence is GONE or self.connection.conversation.failure:
            return False
        if self._state == SEND_BODY:
            raise RuntimeError("the application returned before its response was complete")
        raise RuntimeError("the application returned without a response")

    def over(self) -> bool:
        """Return whether it is time for ``http.disconnect``: the client has left or ended its direction, the response
        is complete, or the server is stopping.

        When the server stops, open streams get the message at once, and so do requests whose own task waits for it. If
        another task is listening, as under Django for every request, the request may be an ordinary one and gets it
        later.
        """
        out = self.connection
        if self._state == SEND_NOTHING or out.presence is not HERE:
            return True
        return out.loop.stopping.tells(streams=self._headed and self._length == UNKNOWN_LENGTH)

    @property
    def _unasked(self) -> bool:
        """Whether the client waits for 100 Continue, which it will not get. Its next bytes could then be the body or
        another request, so this response must be the last one."""
        inflow = self.request.inflow
        return inflow is not None and bool(inflow.reply)

    def respond(self, message: Message) -> bool:  # noqa: C901  # a branch for each message
        """Send a message. Returns whether the application has to wait until the client has taken what was sent. Raises
        ClientGone, an OSError, if the client has left; RuntimeError and others if the message is not allowed now."""
        kind = message["type"]
        if kind == "http.response.body":
            if self._state != SEND_BODY:
                when = "before http.response.start" if self._state == SEND_START else "after the response"
                raise RuntimeError(f"{kind} was sent {when}")
            out = self.connection
            if out.presence is GONE or self._heard == HEARD_LEFT:
                raise ClientGone("the client has left")
            body = message.get("body", b"")
            if type(body) is not bytes:
                body = bytes(body)
            if self._headed or message.get("more_body", False):
                self._part(body, message.get("more_body", False))
                return self._state == SEND_BODY and out.outbound is not None
            if self.request.inflow is not None and self._unasked:  # without a body, that call is saved
                out.last = True
            self._state = SEND_NOTHING
            self.only(body)
            out.complete(self)
        elif kind == "http.response.start":
            if self._state != SEND_START:
                raise RuntimeError("http.response.start was sent twice")
            self.begin(
                STATUS_TEXTS.get(message["status"]) or status_text(message["status"]),
                message.get("headers", ()),
                encode_raw,
            )
            self._state = SEND_BODY
        elif kind == "http.response.pathsend":
            if self._state != SEND_BODY or self._headed:
                raise RuntimeError(f"{kind} must come right after http.response.start, as the whole body")
            self._file(message["path"])  # no wait for the client: the bytes that it has not taken stay in the file
        else:
            raise ValueError(f"unknown message {kind!r}; use http.response.start, .body or .pathsend")
        return False

    def _file(self, path: str) -> None:
        """Send the regular file at this path as the body. Raises OSError if it cannot be read, ValueError if it is not
        regular."""
        out = self.connection
        if out.presence is GONE or self._heard == HEARD_LEFT:
            raise ClientGone("the client has left")
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise ValueError(f"http.response.pathsend: {path!r} is not a regular file")
            if self._unasked:
                out.last = True
            self.write_file(file, 0, status.st_size)
            self.finish()
        finally:
            os.close(file)
        self._state = SEND_NOTHING  # only now: after an error the response is incomplete
        out.complete(self)

    def _part(self, body: bytes, more: bool) -> None:
        """Send a part of the body."""
        out = self.connection
        if not self._headed and self._unasked:
            out.last = True
        if not self._headed and not body:
            out.send(self._head())  # the client of a stream waits for the head
        self.write(body)
        if not more:
            self._state = SEND_NOTHING
            self.finish()
            out.complete(self)
