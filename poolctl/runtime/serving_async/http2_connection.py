"""A connection of HTTP/2 whose app is awaited: a task for each stream, all at the same time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Mapping
from os import read
from typing import TYPE_CHECKING, cast

from poolctl.errors import ClientGone
from poolctl.runtime.buffers.outbound import TURN
from poolctl.runtime.protocol.http2.streaming import IncomingStream, StreamingHttp2
from poolctl.runtime.serving.client_connection import READ
from poolctl.runtime.serving.connection import Connection
from poolctl.runtime.serving.phases import ANSWERING, CLOSED, IDLE, SENDING
from poolctl.runtime.serving.service import Service
from poolctl.runtime.serving_async.boundary import attend
from poolctl.runtime.serving_async.connection import AsyncConnection
from poolctl.runtime.serving_async.http2_stream import TaskStream
from poolctl.runtime.serving_async.overdue import TOO_LATE
from poolctl.runtime.serving_async.task_connection import ENDED, GONE, HERE, TaskConnection
from poolctl.runtime.serving_async.task_loop import TaskLoop
from poolctl.runtime.serving_async.task_start import REQUEST
from poolctl.runtime.system.poller import ERR, HUP, IN, OUT

if TYPE_CHECKING:
    from poolctl.runtime.app import ExchangeApp

log = logging.getLogger("poolctl")
AHEAD = 1024 * 1024  # bytes that wait for the client, past which it is not read from


class Http2Connection(TaskConnection):
    """Takes over the descriptor of the connection whose first bytes said that it is one."""

    __slots__ = ("_coming", "_going", "_tasks", "app")

    conversation: StreamingHttp2

    def __init__(self, loop: TaskLoop, fd: int, conversation: StreamingHttp2, service: Service) -> None:
        TaskConnection.__init__(self, loop, fd, conversation, service)
        self.app = cast("ExchangeApp", service.app)
        self._tasks: dict[asyncio.Task[None], TaskStream] = {}
        self._coming = False  # ``go_on`` is about to be called by the event loop
        self._going = False  # it is running, perhaps below this call

    @classmethod
    def succeed(cls, before: AsyncConnection) -> None:
        """From here on the connection is this one's."""
        made = cls(before.loop, before.fd, cast(StreamingHttp2, before.conversation.successor), before.service)
        made.take_over(before)
        made.observer = None  # what goes out here are frames; each stream has an observer of its own
        made.go_on()

    def _received(self, data: bytes, service: Service) -> None:
        if data:
            self.conversation.receive(data)
        elif self.client is not HERE or not (self.conversation.pending or self._coming or self.outbound is not None):
            self.close(service)
            return
        else:  # it may have ended its side only, and wait for its answers
            self.client = ENDED
            self.conversation.ended()
            self.notify()
            self._wait()
        self.go_on()

    def go_on(self) -> None:
        """Begin what has come, send what waits, and end when there is nothing more."""
        self._coming = False
        if self.phase is CLOSED:
            return
        conversation = self.conversation
        self._going = True
        begun = bool(conversation.begun)
        try:
            while conversation.begun:
                self._begin_stream(conversation.begun.popleft())
        finally:
            self._going = False
        self._push()
        if begun or not conversation.stands_still():
            self.since = self.loop.now
        if self.client is ENDED and self.outbound is None and not self._coming:
            conversation.give_up()
            self.flush()
        self.notify()
        self._see_phase()
        if self.outbound is not None or self.phase is CLOSED:
            return
        if conversation.failure:
            self.turn_away(conversation.failure, self.service)
        elif conversation.over or (self.leaving and not conversation.pending):
            self.turn_away(503, self.service)

    def _see_phase(self) -> None:
        """Its streams are answered at the same time, so the phase follows from what is left to do."""
        if self.phase is not CLOSED:
            self.phase = SENDING if self.outbound is not None else ANSWERING if self.conversation.streams else IDLE

    def _go_on_soon(self) -> None:
        """In the next round of the event loop, once, unless it is about to happen anyway."""
        if not (self._going or self._coming):
            self._coming = True
            self.loop.soon(self, self.go_on)

    def _push(self) -> None:
        """Send what waits, and of what waits for a window what that allows now; much of it in several turns."""
        turn = TURN
        self.flush()
        while self.phase is not CLOSED and self.outbound is None and (count := self.conversation.push()):
            self.flush()
            turn -= count
            if turn <= 0:
                self._go_on_soon()
                return

    def send(self, data: bytes) -> None:
        """Send frames. Raises ClientGone, and then the connection is closed."""
        if self.phase is CLOSED:
            raise ClientGone("the connection is closed")
        try:
            super().send(data)
        except ClientGone:
            self.close(self.service)
            raise
        self._wait()

    def _wait(self) -> None:
        """Read on while bytes wait for the client: it may not read before we have, and its windows bound what it sends.
        What may come without bound, pings for instance, and an answer to each, waits after some of it."""
        outbound = self.outbound
        mask = (0 if outbound is None else OUT) | (IN if outbound is None or outbound.left <= AHEAD else 0)
        if self.client is not HERE:
            mask &= ~IN
        if mask != self.mask:
            self.loop.modify(self, mask)

    def on_event(self, events: int, service: Service) -> None:
        """It can be read or written, or both."""
        if self.outbound is not None:
            self._write(service)
        if self.phase is not CLOSED and (self.mask & IN or (self.client is not HERE and events & (HUP | ERR))):
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
        frames = self.conversation.frames() if self.phase is not CLOSED else b""
        if frames:
            try:
                self.send(frames)
            except ClientGone as error:
                log.debug("a client of HTTP/2 has left: %s", error)

    def _begin_stream(self, stream: IncomingStream) -> None:
        stream.out = self
        if stream.refused:
            self._refuse_stream(stream)
            return
        out = TaskStream(self, stream, self.service)
        out.exchange = exchange = self.app.exchange(stream.request, out)
        task = self.loop.start(attend(exchange, out, self.loop, self.service), REQUEST)
        if not task.done():
            if out.exchange is not exchange:
                self.loop.after.add(task)
            else:
                out.task = task
                self._tasks[task] = out

    def _refuse_stream(self, stream: IncomingStream) -> None:
        """A stream whose head cannot be served."""
        started = self.service.begin()
        whole = True
        try:
            stream.send(self.service.protocol.farewell(stream.refused, self.conversation.peer, stream.line))
        except ClientGone:
            whole = False
        stream.end(whole=whole)
        self.service.end(started)
        self._go_on_soon()
        self.loop.later()

    def complete(self, out: TaskStream) -> None:
        """A response is complete: the stream ends, though the app may have more to do."""
        if out.exchange is None or self.loop.after.full:
            return
        if out.task is not None:
            after = self.loop.after
            if after.fresh is not None:
                after.settle()
            after.fresh = out.task
        self.end_stream(out, whole=True)

    def end_stream(self, out: TaskStream, *, whole: bool) -> None:
        """The request is done with. ``whole``: so is its response."""
        service = self.service
        service.end(out.started)
        if service.entries is not None:
            service.note(out.stream.request, out.stream.observer if out.began else None, out.started)
        if out.task is not None:
            self._tasks.pop(out.task, None)
        out.exchange = None
        out.stream.end(whole=whole)
        out.notify()
        self._go_on_soon()
        self.loop.later()

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
        self._see_phase()
        super().expire(now, service)

    def _expire_answering(self, now: float, service: Service) -> None:
        waited = now - self.since
        if self.conversation.stalled:
            if waited > self.loop.timeouts.write:
                self.close(service)
        elif waited > self.loop.timeouts.idle and any(stream.awaited for stream in self.conversation.streams):
            self.turn_away(408, service)

    def _overdue(self, now: float, service: Service) -> None:
        self.turn_away(408, service)  # a GOAWAY

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """Those of all streams."""
        return list(self._tasks)

    def cut(self, service: Service) -> None:
        """The time to drain is nearly over: the end, unless an app still has a stream."""
        if not self._tasks:
            self.close(service)

    def notify(self) -> None:
        """Something has changed: resume the tasks that wait for it."""
        for stream in self.conversation.streams:
            if stream.changed is not None:
                stream.changed()

    @property
    def in_flight(self) -> Mapping[Hashable, asyncio.Task[None]]:
        """Those of streams whose client takes what there is."""
        return {task: task for task, out in self._tasks.items() if out.outbound is None}

    def cancel_overdue(self, task: asyncio.Task[None]) -> str:
        """Refuse the request of a stream, and cancel its task. The request line."""
        stream = self._tasks[task].stream
        stream.refused = TOO_LATE
        task.cancel()
        return stream.line.decode("latin-1")

    def detach(self, task: asyncio.Task[None]) -> None:
        """The stream is answered, and ends; what the app still does is work after its response."""
        self.service.fail()
        self.loop.after.add(task)
        out = self._tasks[task]
        out.refuse(out.refused)
        out.over(keep=False)

    def drain(self, service: Service) -> None:
        """What has come is answered."""
        self.leaving = True
        self.go_on()

    def close(self, service: Service) -> None:
        """The end of the connection; the tasks of its streams are told, and end by themselves."""
        if self.phase is not CLOSED:
            self._forget()
            Connection.close(self, service)
            self.loop.later()

    def turn_away(self, status: int, service: Service, line: bytes | None = None) -> None:
        """A GOAWAY, and the end."""
        if self.phase is not CLOSED:
            self._forget()
            Connection.turn_away(self, status, service)
            self.loop.later()

    def _forget(self) -> None:
        self.client = GONE
        for stream in self.conversation.streams:
            self.conversation.forget(stream)
