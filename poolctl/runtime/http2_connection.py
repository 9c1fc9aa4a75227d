"""A connection of HTTP/2 whose app is awaited: a task for each stream, all at the same time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Mapping
from os import read
from time import monotonic_ns
from typing import NamedTuple, cast

from poolctl.errors import ClientGone, comes_of_leaving
from poolctl.runtime.access.service import LoggedService, Tally
from poolctl.runtime.async_connection import AsyncConnection
from poolctl.runtime.connection import READ
from poolctl.runtime.outbound import TURN
from poolctl.runtime.overdue import TOO_LATE
from poolctl.runtime.poller import IN, OUT
from poolctl.runtime.protocol.http2_tasks import TasksConversation, TaskStream
from poolctl.runtime.scoreboard import FAILED, REQUESTS, SECONDS
from poolctl.runtime.service import Service

log = logging.getLogger("poolctl")
AHEAD = 1024 * 1024  # bytes that wait for the client, past which it is not read from


class Unlogged(NamedTuple):
    """What a stream sends with, behind the tally."""

    send: Callable[[bytes], None]
    send_file: Callable[[int, int, int], None]


class Http2Connection(AsyncConnection):
    """Takes over the descriptor of the connection whose first bytes said that it is one."""

    __slots__ = ("_tasks",)

    conversation: TasksConversation  # type: ignore[assignment]
    _tasks: dict[asyncio.Task[None], TaskStream]

    @classmethod
    def take_over(cls, before: AsyncConnection, service: Service) -> None:
        """From here on the connection is this one's."""
        conversation = cast(TasksConversation, before.conversation.successor)
        before.open = False
        made = cls(before.loop, before.fd, conversation, service)  # type: ignore[arg-type]
        made._tasks = {}
        made.loop.want(made, IN)  # whatever was waited for, or nudged, before
        made.leaving = before.leaving
        before.loop.handlers[made.fd] = made
        made.go_on()

    def _received(self, data: bytes, service: Service) -> None:
        if not data:
            self.close(service)
            return
        self.conversation.receive(data)
        self.go_on()

    def go_on(self) -> None:
        """Begin what has come, send what waits, and end when there is nothing more."""
        if not self.open:
            return
        conversation = self.conversation
        self.since = self.loop.now
        while conversation.begun:
            stream = conversation.begun.popleft()
            stream.connection = self
            stream.out = self
            task = asyncio.Task(self._answer_stream(stream), loop=self.loop.events, name="request")
            self._tasks[task] = stream
            task.add_done_callback(self._tasks.pop)
        self._push()
        for stream in conversation.streams:
            stream.wake()
        if self.outbound is not None or not self.open:
            return
        if conversation.failure:
            self.turn_away(conversation.failure, self._service)
        elif conversation.over or (self.leaving and not conversation.pending):
            self.turn_away(503, self._service)

    def _push(self) -> None:
        """Send what waits, and of what waits for a window what that allows now; much of it in several turns."""
        turn = TURN
        self.flush()
        while self.open and self.outbound is None and (count := self.conversation.push()):
            self.flush()
            turn -= count
            if turn <= 0:
                self.loop.events.call_soon(self.go_on)
                return

    def send(self, data: bytes) -> None:
        """Send frames. Raises ClientGone, and then the connection is closed."""
        if not self.open:
            raise ClientGone("the connection is closed")
        try:
            super().send(data)
        except ClientGone:
            self.close(self._service)
            raise
        self._wait()

    def _wait(self) -> None:
        """Read on while bytes wait for the client: it may not read before we have, and its windows bound what it sends.
        What may come without bound, pings for instance, and an answer to each, waits after some of it."""
        outbound = self.outbound
        mask = (0 if outbound is None else OUT) | (IN if outbound is None or outbound.left <= AHEAD else 0)
        if mask != self.mask:
            self.loop.want(self, mask)

    def on_event(self, events: int, service: Service) -> None:
        """It can be read or written, or both."""
        if self.outbound is not None:
            self._write(service)
        if self.open and self.mask & IN:
            try:
                data = read(self.fd, READ)
            except BlockingIOError:
                return
            except OSError:
                self.close(service)
                return
            self._received(data, service)

    def flush(self) -> None:
        """Send the frames that wait."""
        frames = self.conversation.frames() if self.open else b""
        if frames:
            try:
                self.send(frames)
            except ClientGone as error:
                log.debug("a client of HTTP/2 has left: %s", error)

    async def _answer_stream(self, stream: TaskStream) -> None:
        """The task: the app, its error boundary, and the end of the stream."""
        service = self._service
        row = service.row
        started = monotonic_ns()
        whole = True
        logged = service if isinstance(service, LoggedService) and not stream.refused else None
        tally = Tally()
        if logged:
            tally.out = Unlogged(stream.send, stream.send_file)
            stream.send = tally.send  # type: ignore[method-assign]
            stream.send_file = tally.send_file  # type: ignore[method-assign]
        exchange = None
        try:
            if stream.refused:
                stream.send(service.protocol.farewell(stream.refused, self.conversation.peer, stream.line))
            else:
                exchange = self.app.exchange(stream.request, stream)
                await exchange.call()
                exchange.conclude()
        except ClientGone:
            whole = False
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            if self.loop.finished:
                raise  # the event loop ends without waiting: its front is dead
            # the app's, unless it only says that the body never came or that the client has left
            if not (stream.refused or stream.gone or comes_of_leaving(error)):
                log.exception("the app raised while answering a request")
            whole = self._failed_stream(stream, ended=exchange is not None and exchange.ended)
        row[SECONDS + (monotonic_ns() - started >> 10).bit_length()] += 1
        row[REQUESTS] += 1
        if logged:
            now = monotonic_ns()
            logged.note(stream.request, tally, now - started, now)
        stream.end(whole=whole)
        self.served = True
        self.go_on()
        self.loop.later()

    def _failed_stream(self, stream: TaskStream, *, ended: bool) -> bool:
        """Whether the client has a whole answer."""
        self._service.row[FAILED] += 1
        if ended and not stream.gone:  # frameworks answer first and raise then, for the log
            return True
        if stream.began or stream.gone:
            return False
        try:
            stream.send(self._service.protocol.refusal_of(stream.request, stream.refused or 500))
        except ClientGone:
            return False
        return True

    def _write(self, service: Service) -> None:
        try:
            if self.catch_up():
                self.since = self.loop.now
        except ClientGone:
            self.close(service)
            return
        self._wait()
        if self.outbound is None:
            self.go_on()

    def expire(self, now: float, service: Service) -> None:
        """How long the app takes is its own affair; a client that owes bytes, or does not take them, has its time."""
        timeouts, waited = self.loop.timeouts, now - self.since
        streams = self.conversation.streams
        if self.outbound is not None or any(stream.left is not None for stream in streams):
            if waited > timeouts.write:
                self.close(service)
        elif waited > timeouts.idle and (not streams or any(stream.awaited for stream in streams)):
            self.turn_away(408, service)

    @property
    def in_hand(self) -> Mapping[Hashable, asyncio.Task[None]]:
        return {task: task for task, stream in self._tasks.items() if stream.outbound is None}

    def overdue(self, task: asyncio.Task[None]) -> str:
        stream = self._tasks[task]
        stream.refused = TOO_LATE
        task.cancel()
        return stream.line.decode("latin-1")

    def drain(self, service: Service) -> None:
        """What has come is answered."""
        self.leaving = True
        self.go_on()

    def close(self, service: Service) -> None:
        """The end of the connection; the tasks of its streams are told, and end by themselves."""
        if self.open:
            self._forget()
            super().close(service)

    def turn_away(self, status: int, service: Service) -> None:
        """A GOAWAY, and the end."""
        if self.open:
            self._forget()
            super().turn_away(status, service)

    def _forget(self) -> None:
        self.gone = True
        for stream in self.conversation.streams:
            self.conversation.forget(stream)
