"""The lifespan of an ASGI application: it is told of the start before the first request, and of the end after the
last (ASGI Lifespan, 2.0). Once for each event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from poolctl.errors import AppError

log = logging.getLogger("poolctl.app")


class Lifespan:
    """``state``: what the application wants each of its requests to have a copy of."""

    def __init__(self, application: Callable[..., Any], mode: str, events: asyncio.AbstractEventLoop) -> None:
        self.state: dict[str, Any] = {}
        self._application = application
        self._mode = mode
        self._events = events
        self._task: asyncio.Task[None] | None = None
        self._told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._answer: asyncio.Future[dict[str, Any] | None]

    async def startup(self) -> None:
        """Returns when the application has started. Raises AppError when it says that it cannot."""
        if self._mode == "off":
            return
        answer = await self._tell("lifespan.startup")
        if answer is None:
            self._task = None  # it takes no part
        elif answer["type"] == "lifespan.startup.failed":
            raise AppError(f"the application failed to start: {answer.get('message', '') or 'it gave no reason'}")

    async def shutdown(self) -> None:
        """Returns when the application has ended what it began."""
        if self._task is None or self._task.done():
            return
        answer = await self._tell("lifespan.shutdown")
        if answer is not None and answer["type"] == "lifespan.shutdown.failed":
            log.error("the application failed to shut down: %s", answer.get("message", ""))

    async def _tell(self, event: str) -> dict[str, Any] | None:
        """What the application answers; None when it has no ear for it."""
        self._answer = self._events.create_future()
        await self._told.put({"type": event})
        if self._task is None:
            self._task = self._events.create_task(self._run())
        return await self._answer

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._application(scope, self._told.get, self._send)
        except Exception as error:  # the app's, which may know no lifespan
            if self._answer.done():
                log.exception("the application raised in its lifespan")
            elif self._mode == "on":
                self._answer.set_exception(error)
            else:
                log.info("the application takes no part in the lifespan: %r", error)
        if not self._answer.done():
            self._answer.set_result(None)

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if not kind.startswith(("lifespan.startup.", "lifespan.shutdown.")):
            raise ValueError(f"{kind!r} is no answer to a lifespan event")
        if not self._answer.done():
            self._answer.set_result(message)
