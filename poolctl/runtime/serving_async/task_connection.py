"""What the connections of awaited functions have in common: at most one task of an event loop, and the end after it."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from poolctl.runtime.protocol import Conversation
from poolctl.runtime.serving.connection import Connection
from poolctl.runtime.serving.service import Service
from poolctl.runtime.system.poller import IN

if TYPE_CHECKING:
    from poolctl.runtime.serving_async.loop import AsyncConnectionLoop

log = logging.getLogger("poolctl")


class TaskConnection(Connection):
    """``task``: who answers at this moment. ``ended``: the client sends no more. ``gone``: it has left, or is as good
    as gone."""

    __slots__ = ("_service", "ended", "gone", "task")

    loop: AsyncConnectionLoop

    def __init__(self, loop: AsyncConnectionLoop, fd: int, conversation: Conversation, service: Service) -> None:
        super().__init__(loop, fd, conversation)
        self._service = service
        self.task: asyncio.Task[None] | None = None
        self.ended = False
        self.gone = False

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Have a task do this work. It sets ``task`` to None before it closes the connection."""
        task = self.loop.start(self._guarded(work), name)
        if not task.done() and self.open:
            self.task = task

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """What is wrong with the connection itself, and not with its app, ends this one alone."""
        try:
            await work
        except Exception as error:  # noqa: BLE001  # the boundary, which logs it
            self.loop.fail(self, self._service, error)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """Those that the end of the time to drain cancels."""
        return [] if self.task is None else [self.task]

    def cut(self, service: Service) -> None:
        """The time to drain is nearly over: the end, unless an app still has it."""
        if self.task is None:
            self.close(service)

    def notify(self) -> None:
        """The stop has come, or a step of it: nothing here waits for that."""

    @abstractmethod
    def _notify(self) -> None:
        """End the waits of the task."""

    def _wait_for(self, mask: int) -> None:
        """Have these events. For none the poller has to forget the connection: it would tell of its end all the time,
        and what was sent before that end is still to be read."""
        if mask == self.mask or self.gone:
            return
        if not mask:
            self.loop.mute(self)
        elif not self.mask:
            self.mask = mask
            self.loop.add(self)
        else:
            self.loop.modify(self, mask)

    def _nothing(self, service: Service) -> None:
        if self.task is None:
            super()._nothing(service)
        else:
            self.loop.modify(self, IN)  # a drain asked for an event, and a request came first

    def client_left(self) -> None:
        """The client has left: the task finds that out when it sends or reads, and the connection ends with it."""
        self.gone = self.leaving = True
        self.loop.mute(self)
        self._notify()

    def drain(self, service: Service) -> None:
        """What has come is answered, and a conversation goes on until the app ends it."""
        self.leaving = True
        if self.task is None:
            super().drain(service)

    def close(self, service: Service) -> None:
        """The end of the connection; with a task, when that has come to its end."""
        if self.task is not None:
            self.client_left()
            return
        super().close(service)
        self.loop.later()

    def abort(self, service: Service) -> None:
        """Something raised: the end, whatever its task is doing, which finds the client gone."""
        self.gone = True
        Connection.close(self, service)

    def turn_away(self, status: int, service: Service) -> None:
        """The end. Only ever without a task: what was whole before a failure is answered first."""
        super().turn_away(status, service)
        self.loop.later()
