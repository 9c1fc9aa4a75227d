"""The lifespan of an ASGI application, once for each event loop: ``lifespan.startup`` before the first request, and
``lifespan.shutdown`` after the last (ASGI Lifespan, 2.0)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from typing import Any

from poolctl.errors import AppError, said

log = logging.getLogger("poolctl.app")
STARTUP, SHUTDOWN = "lifespan.startup", "lifespan.shutdown"


class Lifespan:
    """``state``: set by the application; each request gets a copy. ``context``: the context variables in which the
    startup runs; each request runs in a copy."""

    def __init__(
        self,
        application: Callable[..., Any],
        mode: str,
        events: asyncio.AbstractEventLoop,
        warm: Sequence[str] = (),
    ) -> None:
        """``warm``: targets of the requests that the application answers at the end of its startup."""
        self._warm = warm
        self.state: dict[str, Any] = {}
        self.context: Context = copy_context()
        self._application = application
        self._mode = mode
        self._events = events
        self._task: asyncio.Task[None] | None = None
        self._events_sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._event = STARTUP  # the last event that was sent
        self._answer: asyncio.Future[dict[str, Any] | BaseException | None]

    async def startup(self) -> None:
        """Return when the application has started and answered the warm requests. Raises AppError if it reports a
        failure or a warm request fails, and whatever it raises then; under ``lifespan: on`` also if it ignores the
        event, and whatever it raises."""
        if self._mode != "off":
            await self._begin()
        if self._warm:
            from poolctl.runtime.app.warm import warm_asgi  # few topologies have warm requests

            for target in self._warm:
                await asyncio.Task(
                    warm_asgi(self._application, target, self.state), loop=self._events, context=self.context.copy()
                )

    async def _begin(self) -> None:
        answer = await self._send_event(STARTUP)
        if answer is None and self._mode == "on":
            raise AppError(
                "the application failed to start: it returned from its lifespan before startup.complete (lifespan: on)"
            )
        if answer is None:
            self._task = None  # it does not support lifespan events
        elif answer["type"] == "lifespan.startup.failed":
            raise AppError(f"the application failed to start: {answer.get('message', '') or 'it gave no reason'}")

    async def shutdown(self) -> None:
        """Return when the application has shut down."""
        if self._task is None or self._task.done():
            return
        answer = await self._send_event(SHUTDOWN)
        if answer is not None and answer["type"] == "lifespan.shutdown.failed":
            log.error("the application failed to shut down: %s", answer.get("message", ""))

    async def _send_event(self, event: str) -> dict[str, Any] | None:
        """Send an event. Return the message with which the application answers, or None if it does not answer."""
        self._event = event
        self._answer = self._events.create_future()
        await self._events_sent.put({"type": event})
        if self._task is None:
            self._task = asyncio.Task(self._run(), loop=self._events, name="lifespan", context=self.context)
        answer = await self._answer
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._application(scope, self._events_sent.get, self._send)
        except BaseException as error:  # noqa: BLE001  # the app may not support lifespan; logged or raised
            self._raised(error)
        finally:
            if not self._answer.done():
                self._answer.set_result(None)

    def _raised(self, error: BaseException) -> None:
        """The application raised before or after its answer."""
        if self._answer.done() or self._event == SHUTDOWN:
            log.error("the application raised in its lifespan", exc_info=error)
        elif self._mode == "on":
            if not isinstance(error, Exception):  # a task that raises it would not show its cause
                log.error("the application raised in its lifespan", exc_info=error)
                error = AppError(f"the application failed to start: it raised {said(error)}")
            self._answer.set_result(error)  # as a result: a future refuses StopIteration as its exception
        elif isinstance(error, Exception):
            log.info("the application does not support lifespan events: %s", said(error))
        else:
            log.warning("the application does not support lifespan events, and raised", exc_info=error)

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if not kind.startswith(("lifespan.startup.", "lifespan.shutdown.")):
            raise ValueError(f"{kind!r} does not answer a lifespan event")
        if not self._answer.done():
            self._answer.set_result(message)
