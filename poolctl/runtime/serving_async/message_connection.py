"""One connection of an async app that is awaited for each message.

    reads -----> conversation.requests ---> the task: app.answer(request), send, wait until the client took it
          <--- no room: reading pauses --            next request, until none is left

A connection has at most one task, so its requests are answered in order, while other connections are served at the same
time. The task lives as long as there are requests, so a burst needs only one; but if a request sets a ContextVar, the
next one begins in another task, with a fresh context.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Hashable, Mapping, Sequence
from contextvars import copy_context
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from poolctl.errors import ClientGone
from poolctl.runtime.protocol import Conversation
from poolctl.runtime.protocol.output import ENDED, GONE, HERE
from poolctl.runtime.serving.phases import IDLE
from poolctl.runtime.serving.service import Service
from poolctl.runtime.serving_async.boundary import message
from poolctl.runtime.serving_async.task_connection import TaskConnection
from poolctl.runtime.serving_async.task_loop import TaskLoop
from poolctl.runtime.system.poller import IN, OUT

if TYPE_CHECKING:
    from poolctl.runtime.app.functions.async_function import MessageApp

MESSAGES_AHEAD_BYTES = 65536  # bytes read while requests wait for the one in flight, beyond which reading pauses
MESSAGES_TASK = "messages"  # of its tasks


class MessageConnection(TaskConnection):
    """While ``task`` answers, the connection reads ahead as far as there is room, and notices the client's end."""

    __slots__ = ("_ahead", "_app", "_asked", "_taken", "late")

    def __init__(self, loop: TaskLoop, fd: int, conversation: Conversation, service: Service, app: MessageApp) -> None:
        super().__init__(loop, fd, conversation, service)
        self._app = app
        self._ahead = 0  # bytes read since the last time that no request waited
        self._asked = 0  # when the app was given the request (ns); 0 while it has none
        self.late = False  # the request was cancelled because timeouts.request was over
        self._taken: asyncio.Future[None] | None = None  # the task waits until the client has taken what was sent

    # events

    def _came_meanwhile(self, data: bytes) -> None:
        if data:
            self.conversation.receive(data)
            self._ahead += len(data)
        else:
            self.conversation.ended()
            self.presence = ENDED
            self.leaving = True
        self._read_on()

    def _read_on(self) -> None:
        """Wait for more bytes if there is room for them."""
        full = self._ahead > MESSAGES_AHEAD_BYTES and self.conversation.requests
        self.wait_for(0 if self.presence is not HERE or full else IN)

    def _write(self, service: Service) -> None:
        try:
            if self.catch_up():
                self.since = self.loop.now
        except ClientGone:
            self.client_left()
            return
        if self.outbound is None:
            self._read_on()
            self.resume()

    def resume(self) -> None:
        """Resume the task that waits for the client."""
        if self._taken is not None and not self._taken.done():
            self._taken.set_result(None)

    # the task

    def _answer(self, service: Service) -> None:
        self.start(self._work(), MESSAGES_TASK)

    async def _work(self) -> None:
        """Answer all waiting requests, and those that arrive meanwhile."""
        try:
            requests = self.conversation.requests
            keep = True
            context = self.loop.start.context
            while requests and keep:
                if copy_context() != context:
                    self._rest()
                    self.loop.soon(self, self._go_on)
                    return
                request = requests.popleft()
                if not requests and self._ahead:
                    self._ahead = 0
                    if self.outbound is None:
                        self._read_on()
                keep = await message(request, self, self.loop, self.service)
            self._rest()
            if not keep or self.presence is GONE:
                self.close(self.service)
            elif self.leaving or self.conversation.failure or self.conversation.pending:
                self._unanswered(self.service)
        except Exception as error:  # noqa: BLE001  # the boundary, which logs it
            self.fail(error)

    def _rest(self) -> None:
        """The task is over."""
        self.task = None
        self.phase = IDLE
        self.since = self.loop.now

    def _go_on(self) -> None:
        if self.phase is IDLE:
            self._answer(self.service)

    # the shell of the app

    def answer_of(self, request: Any) -> Awaitable[bytes | None]:
        """Call the app."""
        self.began = self.late = False
        self._asked = monotonic_ns()
        return self._app.answer(request)

    def answered(self) -> None:
        """The app has answered."""
        self._asked = 0

    async def until_taken(self) -> None:
        """Wait until the client has taken all that was sent. Raises ClientGone."""
        self.since = self.loop.now
        self.wait_for(OUT)
        self._taken = self.loop.events.create_future()
        await self._taken
        self._taken = None
        if self.presence is GONE:
            raise ClientGone("the client has left")

    # time

    def streams(self) -> Sequence[Hashable]:
        """Return what the client has yet to take of an answer."""
        return [] if self.outbound is None else [self.outbound]

    def cut_stream(self, stream: Any, service: Service) -> bool:
        """The drain has waited for the client for long enough: treat it as gone, which ends the task's wait."""
        if stream is self.outbound:
            self.say_cut(service)
            self.client_left()
        return True

    @property
    def in_flight(self) -> Mapping[Hashable, asyncio.Task[None]]:
        """The task of the message that the app has."""
        return {} if self.task is None or not self._asked or self.late else {(self.task, self._asked): self.task}

    def cancel_overdue(self, task: asyncio.Task[None]) -> str:
        """Cancel the task. Returns a name of its request, for the log."""
        self.late = True
        task.cancel()
        return "a request"

    def _expire_answering(self, now: float, service: Service) -> None:
        """The app may take any time; a client that does not take its response has timeouts.write."""
        if self.outbound is not None and now - self.since > self.loop.timeouts.at(self.since).write:
            self.say_closed("timeouts.write", now - self.since)
            self.client_left()
