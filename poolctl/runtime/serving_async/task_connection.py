"""What the connections of async apps have in common: a task answers, and the connection goes on meanwhile.

While the app has a request (ANSWERING) the connection reads ahead as far as there is room and notices the client's end,
but does not close: it ends with its task, which finds the client gone. ``boundary.py`` is what runs in the task.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio import current_task
from collections.abc import Coroutine, Hashable, Mapping, Sequence
from math import inf
from typing import Any, ClassVar, Final

from mypy_extensions import mypyc_attr

from poolctl.runtime.protocol import Conversation
from poolctl.runtime.protocol.output import GONE, HERE
from poolctl.runtime.serving.client_connection import DRAIN
from poolctl.runtime.serving.connection import Connection
from poolctl.runtime.serving.phases import ANSWERING, CLOSED, READING
from poolctl.runtime.serving.service import REQUEST, Service, Work
from poolctl.runtime.serving_async.task_loop import TaskLoop
from poolctl.runtime.system import forked
from poolctl.runtime.system.channel import DONTWAIT
from poolctl.runtime.system.poller import IN

UNSENT_BYTES: Final = 1024 * 1024  # that wait for the client, beyond which reading pauses
UNREAD_BYTES: Final = 65536  # of a body, a stream or a WebSocket that wait for the app, beyond which reading pauses


@mypyc_attr(allow_interpreted_subclasses=True)
class TaskConnection(Connection[TaskLoop]):
    """A connection served by tasks. ``task``: the task that answers now; ``presence``: whether the client is still
    there."""

    __slots__ = ("presence", "service", "task")

    work: ClassVar[Work] = REQUEST

    def __init__(self, loop: TaskLoop, fd: int, conversation: Conversation, service: Service) -> None:
        Connection.__init__(self, loop, fd, conversation)
        self.service = service
        self.task: asyncio.Task[None] | None = None
        self.presence = HERE
        if service.entries is not None:
            self.observer = service.entries.observe()

    @property
    def gone(self) -> bool:
        """Whether the client has left, or is treated as if it had."""
        return self.presence is GONE

    # the task

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Begin a task with this work. The work sets ``task`` to None at its end."""
        self.phase = ANSWERING
        task = self.loop.start.task(work, name)
        if not task.done() and self.phase is ANSWERING:
            self.task = task

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The tasks that are cancelled when the time to drain is nearly over."""
        return [] if self.task is None else [self.task]

    def fail(self, error: Exception) -> None:
        """Handle an exception of the connection itself, not of its app: it ends this connection alone."""
        self.loop.fail(self, self.service, error)

    def notify(self) -> None:
        """A step of the stop has begun: resume the tasks that wait for it."""

    def resume(self) -> None:
        """The client has left: resume the tasks that wait for the client."""
        self.notify()

    # timeouts.request

    @property
    def in_flight(self) -> Mapping[Hashable, asyncio.Task[None]]:
        """The tasks that answer requests, which ``timeouts.request`` bounds, by a key for each request."""
        return {}

    def cancel_overdue(self, task: asyncio.Task[None]) -> str:
        """Cancel a task whose time is over. Returns its request, for the log."""
        raise NotImplementedError

    def detach(self, task: asyncio.Task[None]) -> None:
        """End the request of a task that goes on although it was cancelled."""

    # timeouts.stream

    def streams(self) -> Sequence[Hashable]:
        """Return the task whose response has begun, or what the client has yet to take of a complete one."""
        if self.phase is not ANSWERING:
            return super().streams()
        return [self.task] if self.task is not None and self._streaming else []

    @property
    def _streaming(self) -> bool:
        """Whether the task streams: its response has begun."""
        return self.began

    def cut_stream(self, stream: Any, service: Service) -> bool:
        """Cancel the task; its client sees the end at once, and its app what a client that leaves looks like."""
        if stream is not self.task:
            return super().cut_stream(stream, service)
        service.cut(self.cancel_overdue(self.task), self.loop.timeouts.stream or 0.0, failed=False)
        return True

    def drop_stream(self, stream: Any) -> None:
        """End the request of a task that goes on although it was cancelled, as ``detach`` does for timeouts.request."""
        if stream in self.tasks and not self.loop.after.full:
            self.detach(stream)

    # events

    def _received(self, data: bytes, service: Service) -> None:
        if self.phase is ANSWERING:
            self._came_meanwhile(data)
        else:
            Connection._received(self, data, service)

    def _came_meanwhile(self, data: bytes) -> None:
        """Process bytes, or the end of file, that came while the app has a request."""
        raise NotImplementedError

    def _nothing(self, service: Service) -> None:
        if self.tls is not None and self.tls.came and self.outbound is None:
            self.since = self.loop.now  # a part of a record
        if self.phase is ANSWERING:
            self.loop.modify(self, self.mask)  # a drain asked for an event, and a request came first
        else:
            super()._nothing(service)

    def wait_for(self, mask: int) -> None:
        """Wait for these events. For 0 the poller has to forget the connection: otherwise it would report the client's
        end all the time, while bytes sent before that end are still to be read."""
        if mask == self.mask or self.presence is GONE:
            return
        if not mask:
            self.loop.mute(self)
        elif not self.mask:
            self.mask = mask
            self.loop.add(self)
        else:
            self.loop.modify(self, mask)

    def take_over(self, before: TaskConnection) -> None:
        """Take over the descriptor of another connection, perhaps before its loop waits for its events."""
        before.phase = CLOSED
        self.secure(before.tls)
        self.leaving = before.leaving
        if not before.watched:
            self.loop.add(self)
            return
        self.watched = True
        self.loop.handlers[self.fd] = self
        self.loop.modify(self, IN)  # whatever events the other connection waited for

    def stays(self, service: Service) -> bool:
        return self.presence is HERE and super().stays(service)

    @property
    def idle(self) -> bool:
        return self.task is None and super().idle

    # the end

    def drain(self, service: Service) -> None:
        """End after the requests received so far; a request that the app has goes on until the app ends it."""
        if self.phase is ANSWERING and not (self.loop.moving and not self.leaving and self.portable(service)):
            self.say_draining()
            self.leaving = True
        else:
            super().drain(service)

    def cut(self, service: Service) -> None:
        """The time to drain is nearly over: close, unless an app still has the connection. A request that is incomplete
        gets a 408."""
        if self.phase is not ANSWERING:
            self.say_closed(DRAIN, inf)
            if self.phase is READING:
                self.turn_away(408, service)
            else:
                self.close(service)

    def client_left(self) -> None:
        """The client has left: the task finds that out when it sends or reads, and the connection ends with it."""
        self.presence = GONE
        self.leaving = True
        self.loop.mute(self)
        self.resume()

    def close(self, service: Service) -> None:
        """Close the connection; if it has a task, when that has ended."""
        if self.phase is ANSWERING:
            self.client_left()
            return
        super().close(service)
        self.loop.later()

    def abort(self, service: Service) -> None:
        """End the connection after an exception. While a task has it the descriptor stays open, so that the task cannot
        write to another client that gets its number; the client sees the end at once, and the task that it has left."""
        task = self.task
        if task is None or task.done() or task is current_task(self.loop.events):
            self.presence = GONE
            Connection.close(self, service)
            self.loop.later()
        else:
            self.client_left()
            forked.shut(self.fd)

    def turn_away(self, status: int, service: Service, line: bytes | None = None) -> None:
        """End the connection with the protocol's message for this status; if it has a task, only mark the client
        gone."""
        if self.phase is ANSWERING:
            self.client_left()
            return
        super().turn_away(status, service, line)
        self.loop.later()

    def _shut(self, sock: socket.socket) -> None:
        """Shut down our direction, after TLS has said so too. Raises OSError if the client has left."""
        if self.tls is not None and (words := self.tls.end()):
            sock.send(words, DONTWAIT)
        sock.shutdown(socket.SHUT_WR)

    def linger(self, *, says_so: bool = True) -> None:
        """End the connection of a client that is still sending: after a plain close, a reset would overtake the
        response that it has not read. ``says_so``: shut down our direction first."""
        if self.phase is CLOSED:
            return
        self.phase = CLOSED
        self.loop.remove(self)
        self._over(self.service)
        sock = socket.socket(fileno=self.fd)
        try:
            if says_so:
                self._shut(sock)
        except OSError:
            sock.close()  # the client has left
        else:
            self.loop.linger(sock)
        self.loop.later()
