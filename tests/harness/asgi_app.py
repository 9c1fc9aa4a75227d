"""An ASGI app whose calls a test answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from poolctl.runtime.app.asgi.app import Asgi

Answer = Callable[[Any, Any, Any], Awaitable[None]]


class AnsweringAsgi(Asgi):
    """``answer``: the application, which may be another one at each call. ``lifespan`` is off unless a test says
    otherwise."""

    answer: Answer

    def __init__(self, answer: Answer | None = None, *, lifespan: Any = "off") -> None:
        super().__init__("tested", lifespan=lifespan)
        self.answer = answer or ok
        self._application = self._call
        self._state = {}

    async def _call(self, scope: Any, receive: Any, send: Any) -> None:
        await self.answer(scope, receive, send)


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    """The head of a response."""
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(data: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    """A piece of its body."""
    return {"type": "http.response.body", "body": data, "more_body": more}


async def ok(scope: Any, receive: Any, send: Any) -> None:
    """Answers with "ok"."""
    await send(start(200, (b"content-length", b"2")))
    await send(body(b"ok"))
