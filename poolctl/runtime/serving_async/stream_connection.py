"""One connection that an async app owns until it returns.

    reads -----> received ---> the task: takes as much as it asks for
          <--- full, and the app waits for no more: reading pauses
    socket <---- outbound <--- the task: writes, and waits until the client has taken it

The client's first bytes begin the task; if the app greets, the connection itself does. Timeouts bound the waits of the
task. They are checked twice a second, so that no wait needs a timer of its own.
"""

from __future__ import annotations

import asyncio
from asyncio import shield
from collections.abc import Awaitable
from time import monotonic
from typing import TYPE_CHECKING

from poolctl.errors import ClientGone
from poolctl.runtime.app.functions.stream import StreamTimeout
from poolctl.runtime.protocol import Conversation
from poolctl.runtime.protocol.output import ENDED, GONE, HERE
from poolctl.runtime.serving.client_connection import READ_BYTES
from poolctl.runtime.serving.phases import ANSWERING, CLOSED, IDLE
from poolctl.runtime.serving.service import Service
from poolctl.runtime.serving_async.boundary import converse
from poolctl.runtime.serving_async.task_connection import UNREAD_BYTES, TaskConnection
from poolctl.runtime.serving_async.task_loop import TaskLoop
from poolctl.runtime.system.poller import ERR, HUP, IN, OUT

if TYPE_CHECKING:
    from poolctl.runtime.app.functions.async_stream import AsyncStreamApp

STREAM_TASK = "stream"  # of its tasks


class StreamConnection(TaskConnection):
    """Reads and writes for a stream. ``received``: bytes that the app has not taken."""

    __slots__ = ("_app", "_came", "_taken", "_waits_since", "cut_off", "received")

    def __init__(
        self, loop: TaskLoop, fd: int, conversation: Conversation, service: Service, app: AsyncStreamApp
    ) -> None:
        super().__init__(loop, fd, conversation, service)
        self._app = app
        self.received = bytearray()
        self.cut_off = False  # a drain has ended it, because of timeouts.stream
        self._came: asyncio.Future[bool] | None = None  # the task waits for bytes; False: it waited too long
        self._waits_since = 0.0
        self._taken: asyncio.Future[bool] | None = None  # tasks wait until outbound is empty; False as above

    # what the stream waits for

    async def more(self) -> bool:
        """Wait for bytes. Returns False at the client's end of file. Raises ClientGone and StreamTimeout, and
        RuntimeError if another task is waiting."""
        if self._came is not None:
            raise RuntimeError("another task is reading from this stream already")
        self._require_client()
        if self.presence is ENDED:
            return False
        count = len(self.received)
        self._came = self.loop.events.create_future()
        self._waits_since = monotonic()
        self._ask()
        try:
            in_time = await self._came
        finally:
            self._came = None
        if not in_time:
            raise StreamTimeout(f"the client sent nothing for {self.loop.timeouts.idle:g} s")
        if len(self.received) > count:
            return True
        self._require_client()
        return False

    def take(self, count: int) -> bytes:
        """Remove and return the first ``count`` received bytes, or all that there are."""
        taken = bytes(memoryview(self.received)[:count])
        del self.received[:count]
        return taken

    def push(self, data: bytes) -> None:
        """Send ``data``, or keep what the client does not take. Raises ClientGone."""
        self._require_client()
        self.send(data)
        if self.outbound is not None:
            self.since = monotonic()
            self._ask()

    async def until_taken(self) -> None:
        """Wait until the client has taken all that was sent. Raises ClientGone and StreamTimeout."""
        while self.outbound is not None and self.presence is not GONE:
            if self._taken is None:
                self._taken = self.loop.events.create_future()
            if not await shield(self._taken):
                raise StreamTimeout(f"the client read nothing for {self.loop.timeouts.write:g} s")
        self._require_client()

    def _require_client(self) -> None:
        if self.presence is GONE:
            raise ClientGone("the client has left")

    # events

    def begin(self, service: Service) -> None:
        """Serve the bytes that came with the connection; then wait for more."""
        if self._app.greets:
            self.loop.add(self)
            self.start(converse(self, self.loop, self.service), STREAM_TASK)
        else:
            super().begin(service)

    def on_event(self, events: int, service: Service) -> None:
        if self.phase is not ANSWERING:
            super().on_event(events, service)
        else:
            if self.mask & OUT and events & (OUT | ERR | HUP):
                self._write(service)
            if self.mask & IN and events & (IN | ERR | HUP):
                self._read()
            elif events & OUT and not self.mask & OUT:
                self.loop.modify(self, self.mask)  # a drain asked for an event, and the first bytes came first

    def _received(self, data: bytes, service: Service) -> None:
        """Begin the task with the first bytes."""
        if data:
            self.received += data
            self.start(converse(self, self.loop, self.service), STREAM_TASK)
        else:
            self.close(service)

    def _read(self) -> None:
        try:
            data = self.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.client_left()
            return
        if data:
            self.received += data
        else:
            self.presence = ENDED
        self._wake_reader()
        self._ask()

    def _ask(self) -> None:
        """Wait until the client sends, if there is room, and until it takes, if there are bytes to send."""
        reads = self.presence is HERE and (len(self.received) <= UNREAD_BYTES or self._came is not None)
        self.wait_for((IN if reads else 0) | (OUT if self.outbound is not None else 0))

    def _write(self, service: Service) -> None:
        try:
            if self.catch_up():
                self.since = monotonic()
        except ClientGone:
            self.client_left()
            return
        if self.outbound is None:
            self._wake_writers()
            self._ask()

    def resume(self) -> None:
        """Resume the tasks that wait for the client."""
        self._wake_reader()
        self._wake_writers()

    def _wake_reader(self, *, in_time: bool = True) -> None:
        if self._came is not None and not self._came.done():
            self._came.set_result(in_time)

    def _wake_writers(self, *, in_time: bool = True) -> None:
        taken, self._taken = self._taken, None
        if taken is not None and not taken.done():
            taken.set_result(in_time)

    # the shell of the app

    def call(self) -> Awaitable[None]:
        """Call the app, which owns the connection until it returns."""
        return self._app.converse(self)

    def over(self) -> None:
        """The app has returned."""
        if self.phase is CLOSED:  # it was ended without its app
            self.loop.rested()
            return
        self.task = None
        self.presence = GONE  # for tasks of the app that have kept the stream
        self.phase = IDLE
        self.resume()
        self.close(self.service)

    # time

    @property
    def _streaming(self) -> bool:
        """Always True: its app has the whole connection."""
        return True

    def cancel_overdue(self, task: asyncio.Task[None]) -> str:
        """End the connection and cancel its task. Returns the client, for the log."""
        self.cut_off = True
        self.service.fail()
        self.client_left()
        task.cancel()
        return f"a conversation with {self.client}"

    def detach(self, task: asyncio.Task[None]) -> None:
        """Close the connection; the rest of the task is work after a response."""
        self.loop.after.add(task)
        self.over()

    def _expire_answering(self, now: float, service: Service) -> None:
        """End the waits that have lasted too long. The app may take any time."""
        timeouts = self.loop.timeouts
        if self._came is not None and now - self._waits_since > timeouts.at(self._waits_since).idle:
            self._wake_reader(in_time=False)
        if self.outbound is not None and now - self.since > timeouts.at(self.since).write:
            self._wake_writers(in_time=False)
