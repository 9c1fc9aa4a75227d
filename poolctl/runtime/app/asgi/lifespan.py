"""The lifespan of an ASGI application: it is told of the start before the first request, and of the end after the
last (ASGI Lifespan, 2.0). Once for each event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

from poolctl.errors import AppError, said

log = logging.getLogger("poolctl.app")
STARTUP, SHUTDOWN = "lifespan.startup", "lifespan.shutdown"


class Lifespan:
    """``state``: what the application wants each of its requests to have a copy of. ``context``: what its startup runs
    in, so that requests can begin from what it has set there."""

    def __init__(self, application: Callable[..., Any], mode: str, events: asyncio.AbstractEventLoop) -> None:
        self.state: dict[str, Any] = {}
        self.context: Context = copy_context()
        self._application = application
        self._mode = mode
        self._events = events
        self._task: asyncio.Task[None] | None = None
        self._told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._event = STARTUP  # the last that it was told of
        self._answer: asyncio.Future[dict[str, Any] | BaseException | None]

    async def startup(self) -> None:
        """Returns when the application has started. Raises AppError when it says that it cannot, and with ``lifespan:
        on`` what it raises itself."""
        if self._mode == "off":
            return
        answer = await self._tell(STARTUP)
        if answer is None and self._mode == "on":
            raise AppError(
                "the application failed to start: it returned from its lifespan before it had (lifespan: on)"
            )
        if answer is None:
            self._task = None  # it takes no part
        elif answer["type"] == "lifespan.startup.failed":
            raise AppError(f"the application failed to start: {answer.get('message', '') or 'it gave no reason'}")

    async def shutdown(self) -> None:
        """Returns when the application has ended what it began."""
        if self._task is None or self._task.done():
            return
        answer = await self._tell(SHUTDOWN)
        if answer is not None and answer["type"] == "lifespan.shutdown.failed":
            log.error("the application failed to shut down: %s", answer.get("message", ""))

    async def _tell(self, event: str) -> dict[str, Any] | None:
        """What the application answers; None when it has no ear for it."""
        self._event = event
        self._answer = self._events.create_future()
        await self._told.put({"type": event})
        if self._task is None:
            self._task = asyncio.Task(self._run(), loop=self._events, name="lifespan", context=self.context)
        answer = await self._answer
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._application(scope, self._told.get, self._send)
        except BaseException as error:  # noqa: BLE001  # the app's, which may know no lifespan; it is told of, or raised
            self._raised(error)
        finally:
            if not self._answer.done():
                self._answer.set_result(None)

    def _raised(self, error: BaseException) -> None:
        """The application has raised instead of an answer, or after one."""
        if self._answer.done() or self._event == SHUTDOWN:
            log.error("the application raised in its lifespan", exc_info=error)
        elif self._mode == "on":
            if not isinstance(error, Exception):  # a task that raises one of these says nothing of its reason
                log.error("the application raised in its lifespan", exc_info=error)
                error = AppError(f"the application failed to start: it raised {said(error)}")
            self._answer.set_result(error)  # no exception: a future takes no StopIteration
        elif isinstance(error, Exception):
            log.info("the application takes no part in the lifespan: %s", said(error))
        else:
            log.warning("the application takes no part in the lifespan, and raised", exc_info=error)

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if not kind.startswith(("lifespan.startup.", "lifespan.shutdown.")):
            raise ValueError(f"{kind!r} is no answer to a lifespan event")
        if not self._answer.done():
            self._answer.set_result(message)
