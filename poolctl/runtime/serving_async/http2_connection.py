"""A connection of HTTP/2 whose app is awaited: a task for each stream, all at the same time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Mapping
from os import read
from time import monotonic_ns
from typing import Any, cast

from poolctl.errors import ClientGone, comes_of_leaving
from poolctl.runtime.access_log.service import LoggedService
from poolctl.runtime.buffers.outbound import TURN
from poolctl.runtime.protocol.http2.streaming import IncomingStream, StreamingHttp2
from poolctl.runtime.scoreboard import FAILED, REQUESTS, SECONDS
from poolctl.runtime.serving.connection import READ
from poolctl.runtime.serving.service import Service
from poolctl.runtime.serving_async.connection import UNAVAILABLE, AsyncConnection, line_of
from poolctl.runtime.serving_async.http2_stream import TaskStream
from poolctl.runtime.serving_async.overdue import TOO_LATE
from poolctl.runtime.serving_async.stopping import CANCELLED, SERVING
from poolctl.runtime.serving_async.task_start import REQUEST
from poolctl.runtime.system import forked
from poolctl.runtime.system.poller import ERR, HUP, IN, OUT

log = logging.getLogger("poolctl")
AHEAD = 1024 * 1024  # bytes that wait for the client, past which it is not read from


class Http2Connection(AsyncConnection):
    """Takes over the descriptor of the connection whose first bytes said that it is one."""

    __slots__ = ("_coming", "_going", "_tasks")

    conversation: StreamingHttp2  # type: ignore[assignment]
    _tasks: dict[asyncio.Task[None], TaskStream]

    @classmethod
    def take_over(cls, before: AsyncConnection, service: Service) -> None:
        """From here on the connection is this one's."""
        conversation = cast(StreamingHttp2, before.conversation.successor)
        before.open = False
        made = cls(before.loop, before.fd, conversation, service)  # type: ignore[arg-type]
        made._tasks = {}
        made._coming = made._going = False
        made.leaving = before.leaving
        made.watched = before.watched
        before.loop.handlers[made.fd] = made
        made.loop.modify(made, IN)  # whatever was waited for, or nudged, before
        made.go_on()

    def _received(self, data: bytes, service: Service) -> None:
        if data:
            self.conversation.receive(data)
        elif self.ended or not (self.conversation.pending or self._coming or self.outbound is not None):
            self.close(service)
            return
        else:  # it may have ended its side only, and wait for its answers
            self.ended = True
            self.conversation.ended()
            self.notify()
            self._wait()
        self.go_on()

    def go_on(self) -> None:
        """Begin what has come, send what waits, and end when there is nothing more."""
        self._coming = False
        if not self.open:
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
        if self.ended and self.outbound is None and not self._coming:
            conversation.give_up()
            self.flush()
        self.notify()
        if self.outbound is not None or not self.open:
            return
        if conversation.failure:
            self.turn_away(conversation.failure, self._service)
        elif conversation.over or (self.leaving and not conversation.pending):
            self.turn_away(503, self._service)

    def _go_on_soon(self) -> None:
        """In the next round of the event loop, once, unless it is about to happen anyway."""
        if not (self._going or self._coming):
            self._coming = True
            self.loop.soon(self, self.go_on)

    def _push(self) -> None:
        """Send what waits, and of what waits for a window what that allows now; much of it in several turns."""
        turn = TURN
        self.flush()
        while self.open and self.outbound is None and (count := self.conversation.push()):
            self.flush()
            turn -= count
            if turn <= 0:
                self._go_on_soon()
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
        if self.ended:
            mask &= ~IN
        if mask != self.mask:
            self.loop.modify(self, mask)

    def on_event(self, events: int, service: Service) -> None:
        """It can be read or written, or both."""
        if self.outbound is not None:
            self._write(service)
        if self.open and (self.mask & IN or (self.ended and events & (HUP | ERR))):
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

    def _begin_stream(self, stream: IncomingStream) -> None:
        stream.out = self
        logged = isinstance(self._service, LoggedService) and not stream.refused
        out = TaskStream(self, stream, monotonic_ns(), logged=logged)
        task = self.loop.start(self._answer_stream(out), REQUEST)
        if not task.done():
            if out.answered:
                self.loop.after.add(task)
            else:
                out.task = task
                self._tasks[task] = out

    async def _answer_stream(self, out: TaskStream) -> None:
        """The task: the app, its error boundary, and the end of the stream."""
        stream = out.stream
        exchange = None
        whole = True
        try:
            try:
                if stream.refused:
                    stream.send(self._service.protocol.farewell(stream.refused, self.conversation.peer, stream.line))
                else:
                    exchange = self.app.exchange(stream.request, out)
                    await exchange.call()
                    if not out.answered:
                        exchange.conclude()
                        whole = exchange.ended
            except ClientGone:
                whole = False
            except BaseException as error:
                forked.leave()
                if self.loop.finished:
                    raise  # the event loop ends without waiting: its front is dead
                whole = self._failed_stream(out, exchange, error)
            if not out.answered:
                self._end_stream(out, whole=whole)
            elif out.task is not None and self.loop.after.fresh is out.task:
                self.loop.after.fresh = None
            elif self.loop.after.tasks:
                self.loop.rested()
        except Exception as error:  # noqa: BLE001  # the boundary, which logs it
            self.loop.fail(self, self._service, error)

    def complete(self, out: TaskStream) -> None:
        """A response is complete: the stream ends, though the app may have more to do."""
        if out.answered or self.loop.after.full:
            return
        if out.task is not None:
            after = self.loop.after
            if after.fresh is not None:
                after.settle()
            after.fresh = out.task
        self._end_stream(out, whole=True)

    def _end_stream(self, out: TaskStream, *, whole: bool) -> None:
        """The request is done with."""
        row, stream = self._service.row, out.stream
        took = monotonic_ns() - out.started
        row[SECONDS + (took >> 10).bit_length()] += 1
        row[REQUESTS] += 1
        if not stream.began and (stream.refused or self.loop.stopping.step != SERVING):
            whole = self._refuse_stream(out, stream.refused or UNAVAILABLE)  # its app has left without a word
        out.answered = True
        if out.tally is not None:
            cast(LoggedService, self._service).note(stream.request, out.tally, took, monotonic_ns())
        if out.task is not None:
            self._tasks.pop(out.task, None)
        stream.end(whole=whole)
        out.notify()
        self.served = True
        self._go_on_soon()
        self.loop.later()

    def _failed_stream(self, out: TaskStream, exchange: Any, error: BaseException) -> bool:
        """Whether the client has a whole answer."""
        stream = out.stream
        ended = exchange is not None and exchange.ended
        stopped = isinstance(error, asyncio.CancelledError) and self.loop.stopping.step == CANCELLED
        if stopped:
            log.warning("%s was cancelled: timeouts.drain is nearly over", line_of(stream.request))
        # the app's, unless it only says that the body never came or that the client has left
        elif not (stream.refused or (stream.gone and not out.answered) or comes_of_leaving(error)):
            log.error(
                "the app raised %s", "after its response" if ended else "while answering a request", exc_info=error
            )
        if not (stopped and ended):
            self._service.row[FAILED] += 1
        if ended and not stream.gone:  # frameworks answer first and raise then, for the log
            return True
        return self._refuse_stream(out, stream.refused or (UNAVAILABLE if stopped else 500))

    def _refuse_stream(self, out: TaskStream, status: int) -> bool:
        """Answer with this instead of the app; False where something was sent, or nobody is left to read it."""
        if out.began or out.gone or out.answered:
            return False
        try:
            out.send(self._service.protocol.refusal_of(out.stream.request, status))
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
        if self.outbound is not None or self.conversation.stalled:
            if waited > timeouts.write:
                self.close(service)
        elif waited > timeouts.idle and (not streams or any(stream.awaited for stream in streams)):
            self.turn_away(408, service)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
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
        return {task: task for task, out in self._tasks.items() if out.outbound is None}

    def cancel_overdue(self, task: asyncio.Task[None]) -> str:
        stream = self._tasks[task].stream
        stream.refused = TOO_LATE
        task.cancel()
        return stream.line.decode("latin-1")

    def detach(self, task: asyncio.Task[None]) -> None:
        """The stream is answered, and ends; what the app still does is work after its response."""
        self._service.row[FAILED] += 1
        self.loop.after.add(task)
        self._end_stream(self._tasks[task], whole=False)

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
