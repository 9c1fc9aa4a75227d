"""One connection of an asynchronous app that is awaited for each message.

    reads -----> conversation.requests ---> the task: app.answer(request), send, wait until the client took it
          <--- no room: reading stops ---            next request, until none is left

A connection has one task at most, so its requests are answered in order; those of different connections at the same
time. The task lives as long as there are requests, so a burst costs one, unless a request changes its context: what it
sets in a ContextVar is not for the next one, so that begins in another task.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Mapping
from contextvars import copy_context
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, cast

from poolctl.errors import ClientGone
from poolctl.runtime.protocol import Conversation
from poolctl.runtime.scoreboard import FAILED, REQUESTS, SECONDS, SINCE
from poolctl.runtime.serving.service import Service
from poolctl.runtime.serving_async.stopping import CANCELLED
from poolctl.runtime.serving_async.task_connection import TaskConnection
from poolctl.runtime.system import forked
from poolctl.runtime.system.poller import IN, OUT

if TYPE_CHECKING:
    from poolctl.runtime.app.functions.async_function import MessageApp
    from poolctl.runtime.serving_async.loop import AsyncConnectionLoop

log = logging.getLogger("poolctl")
LATE = -1  # as the time of a request: it was cancelled
AHEAD = 65536  # bytes that are read while requests wait for the one in hand; then the client has to
NAME = "messages"  # of tasks


class MessageConnection(TaskConnection):
    """While ``task`` answers, what comes is read ahead as far as there is room, and the end is noticed."""

    __slots__ = ("_ahead", "_answer_of", "_asked", "_taken")

    def __init__(self, loop: AsyncConnectionLoop, fd: int, conversation: Conversation, service: Service) -> None:
        super().__init__(loop, fd, conversation, service)
        self._answer_of = cast("MessageApp", service.app).answer
        self._ahead = 0  # bytes read since the last time that no request waited
        self._asked = 0  # when the app was given the request in hand (ns); 0: it has none
        self._taken: asyncio.Future[None] | None = None  # the task waits until the client has taken what was sent

    # events

    def _received(self, data: bytes, service: Service) -> None:
        if self.task is None:
            super()._received(data, service)
            return
        if data:
            self.conversation.receive(data)
            self._ahead += len(data)
        else:
            self.conversation.ended()
            self.ended = self.leaving = True
        self._read_on()

    def _read_on(self) -> None:
        """Wait for more where there is room for it."""
        full = self._ahead > AHEAD and self.conversation.requests
        self._wait_for(0 if self.ended or full else IN)

    def _write(self, service: Service) -> None:
        try:
            if self.catch_up():
                self.since = self.loop.now
        except ClientGone:
            self.client_left()
            return
        if self.outbound is None:
            self._read_on()
            self._notify()

    def _notify(self) -> None:
        if self._taken is not None and not self._taken.done():
            self._taken.set_result(None)

    # the task

    def _answer(self, service: Service) -> None:
        self.start(self._work(), NAME)

    async def _work(self) -> None:
        """Answer all requests that have come, and those that come meanwhile."""
        requests = self.conversation.requests
        keep = True
        context = self.loop.start.context
        while requests and keep:
            if copy_context() != context:
                self.task = None
                self.loop.soon(self, self._go_on)
                return
            request = requests.popleft()
            if not requests and self._ahead:
                self._ahead = 0
                if self.outbound is None:
                    self._read_on()
            keep = await self._one(request)
        self._rested(keep)

    def _go_on(self) -> None:
        if self.open and self.task is None:
            self._answer(self._service)

    async def _one(self, request: Any) -> bool:
        """One request, and its error boundary; True when the connection may be kept."""
        row = self._service.row
        self._asked = started = monotonic_ns()
        if not row[SINCE]:
            row[SINCE] = started
        self.began = False
        keep = True
        try:
            answer = await self._answer_of(request)
            self._asked = 0
            if self.gone:
                keep = False
            elif answer:
                self.send(answer)
                if self.outbound is not None:
                    await self._until_taken()
        except ClientGone:
            keep = False
        except BaseException as error:  # the app's
            forked.leave()
            if self.loop.finished:
                raise  # the event loop ends without waiting: its front is dead
            if isinstance(error, asyncio.CancelledError) and self.loop.stopping.step == CANCELLED:
                log.warning("a request was cancelled: timeouts.drain is nearly over")
            elif self._asked != LATE:
                log.exception("the app raised while answering a request")
            self._asked = 0
            row[FAILED] += 1
            keep = False
        row[SECONDS + (monotonic_ns() - started >> 10).bit_length()] += 1
        row[REQUESTS] += 1
        row[SINCE] = 0
        return keep

    async def _until_taken(self) -> None:
        """Raises ClientGone."""
        self.since = self.loop.now
        self._wait_for(OUT)
        self._taken = self.loop.events.create_future()
        await self._taken
        self._taken = None
        if self.gone:
            raise ClientGone("the client has left")

    def _rested(self, keep: bool) -> None:
        """No request is left."""
        self.task = None
        self.served = True
        self.started = False
        self.since = self.loop.now
        if not keep or self.gone:
            self.close(self._service)
        elif self.leaving or self.conversation.failure or self.conversation.pending:
            self._unanswered(self._service)

    # time

    @property
    def in_flight(self) -> Mapping[Hashable, asyncio.Task[None]]:
        return {} if self.task is None or self._asked <= 0 else {(self.task, self._asked): self.task}

    def cancel_overdue(self, task: asyncio.Task[None]) -> str:
        self._asked = LATE
        task.cancel()
        return "a request"

    def expire(self, now: float, service: Service) -> None:
        """Close it when the client has kept us waiting for too long. How long the app takes is its own affair."""
        if self.task is None:
            super().expire(now, service)
        elif self.outbound is not None and now - self.since > self.loop.timeouts.write:
            self.client_left()
