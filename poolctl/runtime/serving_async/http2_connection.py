"""A connection of an async app over HTTP/2: each stream has a task, and all run at the same time.

The file is long because a connection and its streams share flow control and the end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from poolctl.errors import ClientGone
from poolctl.runtime.buffers.outbound import TURN_BYTES
from poolctl.runtime.loop.overdue import TOO_LATE
from poolctl.runtime.protocol.http2.streaming import IncomingStream, StreamingHttp2
from poolctl.runtime.protocol.output import ENDED, GONE, HERE
from poolctl.runtime.scoreboard import CLOSED_IDLE
from poolctl.runtime.serving.client_connection import DRAIN, READ_BYTES
from poolctl.runtime.serving.connection import Connection
from poolctl.runtime.serving.multiplex import cut_begun
from poolctl.runtime.serving.phases import ANSWERING, CLOSED, IDLE, SENDING
from poolctl.runtime.serving.service import Service
from poolctl.runtime.serving_async.boundary import attend
from poolctl.runtime.serving_async.connection import AsyncConnection
from poolctl.runtime.serving_async.http2_stream import TaskStream
from poolctl.runtime.serving_async.task_connection import UNSENT_BYTES, TaskConnection
from poolctl.runtime.serving_async.task_loop import TaskLoop
from poolctl.runtime.serving_async.task_start import REQUEST_TASK
from poolctl.runtime.system.poller import ERR, HUP, IN, OUT

if TYPE_CHECKING:
    from poolctl.runtime.app.asgi.output import Exchanges

log = logging.getLogger("poolctl")


class Http2Connection(TaskConnection):
    """Takes over the descriptor of a connection whose first bytes were the preface of HTTP/2. ``http2``: its
    conversation."""

    __slots__ = ("_coming", "_going", "_tasks", "app", "http2")

    def __init__(self, loop: TaskLoop, fd: int, conversation: StreamingHttp2, service: Service, app: Exchanges) -> None:
        TaskConnection.__init__(self, loop, fd, conversation, service)
        self.http2 = conversation
        self.app = app
        self._tasks: dict[asyncio.Task[None], TaskStream] = {}
        self._coming = False  # the event loop is about to call ``go_on``
        self._going = False  # ``go_on`` is running, perhaps below this call

    @classmethod
    def succeed(cls, before: AsyncConnection) -> None:
        """Replace an HTTP/1 connection that switches to HTTP/2."""
        conversation = before.conversation.successor
        assert isinstance(conversation, StreamingHttp2)
        made = cls(before.loop, before.fd, conversation, before.service, before.app)
        made.take_over(before)
        made.observer = None  # this output sends frames; each stream has an observer of its own
        try:
            made.go_on()
        except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
            made.loop.fail(made, made.service, error)

    def _received(self, data: bytes, service: Service) -> None:
        if data:
            self.http2.receive(data)
        elif self.presence is not HERE or not (self.http2.pending or self._coming or self.outbound is not None):
            self.close(service)
            return
        else:  # it may only have ended its sending side, and wait for responses
            self.presence = ENDED
            self.http2.ended()
            self.notify()
            self._wait()
        self.go_on()

    def _nothing(self, service: Service) -> None:
        self.go_on()

    def go_on(self) -> None:
        """Begin new streams, send what waits, and end the connection when nothing is left."""
        self._coming = False
        if self.phase is CLOSED:
            return
        conversation = self.http2
        if self.leaving:
            conversation.leave(self.loop.now)
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
        if self.presence is ENDED and self.outbound is None and not self._coming:
            conversation.give_up()
            self.flush()
        self.notify()
        self._see_phase()
        if self.outbound is not None or self.phase is CLOSED:
            return
        if conversation.failure:
            self.turn_away(conversation.failure, self.service)
        elif conversation.over or (self.leaving and conversation.told and not conversation.pending):
            self.turn_away(503, self.service)

    def _see_phase(self) -> None:
        """Set the phase from what is left to do, as its streams are answered at the same time."""
        if self.phase is not CLOSED:
            self.phase = SENDING if self.outbound is not None else ANSWERING if self.http2.streams else IDLE

    def _go_on_soon(self) -> None:
        """Call ``go_on`` in the next round of the event loop, unless it runs or is scheduled already."""
        if not (self._going or self._coming):
            self._coming = True
            self.loop.soon(self, self.go_on)

    def _push(self) -> None:
        """Send waiting frames, and as much of the bodies as their windows allow; a large amount in several turns."""
        turn = TURN_BYTES
        self.flush()
        while self.phase is not CLOSED and self.outbound is None and (count := self.http2.push()):
            self.flush()
            turn -= count
            if turn <= 0:
                self._go_on_soon()
                return

    def send(self, data: bytes) -> None:
        """Send frames. Closes the connection and raises ClientGone if the client has left."""
        if self.phase is CLOSED:
            raise ClientGone("the connection is closed")
        try:
            super().send(data)
        except ClientGone:
            self.close(self.service)
            raise
        self._wait()

    def _wait(self) -> None:
        """Read on while bytes wait for the client, which may not read before we have read; windows bound its bodies.
        UNSENT_BYTES bounds the rest, for instance the replies to its pings."""
        outbound = self.outbound
        mask = (0 if outbound is None else OUT) | (IN if outbound is None or outbound.left <= UNSENT_BYTES else 0)
        if self.presence is not HERE:
            mask &= ~IN
        if mask != self.mask:
            self.loop.modify(self, mask)

    def on_event(self, events: int, service: Service) -> None:
        """Its descriptor is readable or writable, or both."""
        if self.outbound is not None:
            self._write(service)
        if self.phase is not CLOSED and (self.mask & IN or (self.presence is not HERE and events & (HUP | ERR))):
            try:
                data = self.read(self.fd, READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                self.close(service)
                return
            self._received(data, service)

    def flush(self) -> None:
        """Send the waiting frames."""
        frames = self.http2.frames() if self.phase is not CLOSED else b""
        if frames:
            try:
                self.send(frames)
            except ClientGone as error:
                log.debug("an HTTP/2 client has left: %s", error)

    def _begin_stream(self, stream: IncomingStream) -> None:
        stream.out = self
        if stream.refused:
            self._refuse_stream(stream)
            return
        out = TaskStream(self, stream, self.service)
        out.exchange = exchange = self.app.exchange(stream.request, out)
        task = self.loop.start.task(attend(exchange, out, self.loop, self.service), REQUEST_TASK)
        if not task.done():
            if out.exchange is not exchange:
                self.loop.after.add(task)
            else:
                out.task = task
                self._tasks[task] = out

    def _refuse_stream(self, stream: IncomingStream) -> None:
        """Refuse a stream because of its head."""
        started = self.service.begin()
        whole = True
        try:
            stream.send(self.service.protocol.farewell(stream.refused, self.http2.peer, stream.line))
        except ClientGone:
            whole = False
        stream.end(whole=whole)
        self.service.end(started)
        self._go_on_soon()
        self.loop.later()

    def complete(self, out: TaskStream) -> None:
        """A response is complete: end the stream, though the app may go on."""
        if out.exchange is None or self.loop.after.full:
            return
        if out.task is not None:
            after = self.loop.after
            if after.fresh is not None:
                after.settle()
            after.fresh = out.task
        self.end_stream(out, whole=True)

    def end_stream(self, out: TaskStream, *, whole: bool) -> None:
        """End a stream whose request is done. ``whole``: its response is complete."""
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
        """The app may take any time; a client that has bytes to send, or to take, has its timeouts."""
        self._see_phase()
        super().expire(now, service)

    @property
    def owed(self) -> int:
        return len(self.http2.streams) - len(self._tasks)  # a task that is cancelled is counted by itself

    def _expire_answering(self, now: float, service: Service) -> None:
        waited = now - self.since
        if self.http2.stalled:
            if waited > self.loop.timeouts.at(self.since).write:
                self.say_closed("timeouts.write", waited)
                self.close(service)
        elif waited > self.loop.timeouts.at(self.since).idle and any(each.awaited for each in self.http2.streams):
            self.say_closed("timeouts.idle", waited)
            self.turn_away(408, service)

    def _overdue(self, now: float, limit: str, service: Service) -> None:
        self.say_closed(limit, now - self.since)
        self.turn_away(408, service)  # a GOAWAY

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The tasks of all streams."""
        return list(self._tasks)

    def cut(self, service: Service) -> None:
        """The time to drain is nearly over: close, unless an app still has a stream."""
        if not self._tasks:
            self.say_closed(DRAIN, inf)
            self.close(service)

    def notify(self) -> None:
        """Something has changed: resume the waiting tasks."""
        for stream in self.http2.streams:
            if stream.changed is not None:
                stream.changed()

    @property
    def in_flight(self) -> Mapping[Hashable, asyncio.Task[None]]:
        """The tasks of streams that do not wait for the client to take bytes."""
        return {task: task for task, out in self._tasks.items() if out.outbound is None}

    def cancel_overdue(self, task: asyncio.Task[None]) -> str:
        """Refuse the request of a stream, and cancel its task. Returns the request line."""
        stream = self._tasks[task].stream
        stream.refused = TOO_LATE
        task.cancel()
        return stream.line.decode("latin-1")

    def detach(self, task: asyncio.Task[None]) -> None:
        """Answer the stream and end it; the rest of the task is work after a response."""
        self.service.fail()
        self.loop.after.add(task)
        out = self._tasks[task]
        out.refuse(out.refused)
        out.over(keep=False)

    def streams(self) -> Sequence[Hashable]:
        """Return the tasks whose response has begun, the streams whose response waits for a window or the client, and
        the bytes that the client has not taken."""
        answered = {out.stream: task for task, out in self._tasks.items()}
        found: list[Hashable] = [answered.get(each, each) for each in self.http2.streams if each.began]
        return found if self.outbound is None else [*found, self.outbound]

    def cut_stream(self, stream: Any, service: Service) -> bool:
        """Cancel a task, or reset a stream that has none; close the connection if only bytes for the client are
        left."""
        if stream in self._tasks:
            service.cut(self.cancel_overdue(stream), self.loop.timeouts.stream or 0.0, failed=False)
        elif stream is not self.outbound:
            cut_begun(stream, service, self.loop.timeouts)
            self.go_on()
        elif self.http2.pending:
            return False
        else:
            self.say_cut(service)
            self.close(service)
        return True

    def drain(self, service: Service) -> None:
        """End after the requests received so far."""
        self.tally(CLOSED_IDLE, service)
        self.say_draining()
        self.leaving = True
        self.go_on()

    def close(self, service: Service) -> None:
        """Close the connection; the tasks of its streams find the client gone, and end by themselves."""
        if self.phase is not CLOSED:
            self._forget()
            Connection.close(self, service)
            self.loop.later()

    def abort(self, service: Service) -> None:
        """Close the connection after an exception. Its streams send through it, so none writes to its descriptor."""
        self.close(service)

    def turn_away(self, status: int, service: Service, line: bytes | None = None) -> None:
        """End the connection with a GOAWAY."""
        if self.phase is not CLOSED:
            self._forget()
            Connection.turn_away(self, status, service)
            self.loop.later()

    def _forget(self) -> None:
        self.presence = GONE
        for stream in self.http2.streams:
            self.http2.forget(stream)
