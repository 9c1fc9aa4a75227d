"""Connections of a loop that several threads run: any thread may serve a connection, one at a time. The file is long
because those that their apps own are here too."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Hashable, Sequence
from math import inf
from socket import socket as Socket
from threading import Lock
from typing import Any, Final

from poolctl.runtime.listen.mover import Mover
from poolctl.runtime.loop.source import NO_DESCRIPTOR, Source
from poolctl.runtime.protocol import Conversation
from poolctl.runtime.scoreboard import DONE
from poolctl.runtime.serving.client_connection import READ_BYTES
from poolctl.runtime.serving.connection import Connection, ServedLoop
from poolctl.runtime.serving.leaving import BROKEN
from poolctl.runtime.serving.phases import CLOSED
from poolctl.runtime.serving.service import Service
from poolctl.runtime.system import forked, threads
from poolctl.runtime.system.calls import close, read
from poolctl.runtime.system.poller import ERR, HUP, IN, OUT, RDHUP
from poolctl.runtime.task import NOBODY, Peer

log = logging.getLogger("poolctl")
END_EVENTS: Final = RDHUP | HUP | ERR


class SharedConnection(Connection[ServedLoop]):
    """A connection that any thread may serve; the thread that serves it holds its lock.

    Edges may come while it is being served. A thread that gets one first sets ``again``, then tries the lock; a thread
    that has the lock first releases it, then looks at ``again``. So one of the two serves what came in between.

    ``again``: more bytes may be readable, for which the poller reports no further edge. ``hung``: an edge also reported
    the client's end of file, which follows the readable bytes.
    """

    __slots__ = ("_broken", "_turn", "again", "hung")

    def __init__(self, loop: ServedLoop, fd: int, conversation: Conversation, spares: list[Any] | None = None) -> None:
        super().__init__(loop, fd, conversation, spares)
        self.again = False
        self.hung = False
        self._turn = Lock()
        self._broken = 0  # the events of an edge that reported a reset

    def begin(self, service: Service) -> None:
        """Begin under the lock: during a drain another thread may close the connection once the lock is free."""
        with self._turn:
            known = self.phase is CLOSED  # to another thread, with an old event of this descriptor
            if not known:
                self._serve(service)
            closed = self.phase is CLOSED
            if not closed:
                self.loop.add(self)
        if not closed:
            self._take_turns(service)
        elif self.spares is not None and not known:  # no other thread has got it from the poller
            Connection._spare(self)

    def renew(self, fd: int, peer: Peer) -> None:
        self.again = self.hung = False
        self._broken = 0
        super().renew(fd, peer)

    def _spare(self) -> None:
        """Do nothing: another thread may still be about to serve it."""

    def on_event(self, events: int, service: Service) -> None:
        if events & END_EVENTS:
            self.hung = True
            self._broken |= events & BROKEN
        self.again = True
        self._take_turns(service)

    def _take_turns(self, service: Service) -> None:
        turn = self._turn
        while self.again and turn.acquire(blocking=False):
            self.again = False
            try:
                if self.phase is not CLOSED:
                    self._serve(service)
            finally:
                turn.release()

    def _serve(self, service: Service) -> None:
        """Serve under the lock, and keep it while the loop handles an exception."""
        try:
            Connection.on_event(self, IN | self._broken, service)
        except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
            self.loop.fail(self, service, error)

    def _received(self, data: bytes, service: Service) -> None:
        if len(data) == READ_BYTES or (self.hung and data) or (self.tls is not None and self.tls.full):
            self.again = True
        Connection._received(self, data, service)

    def _nothing(self, service: Service) -> None:
        if self.tls is not None and self.tls.full:
            self.again = True  # it holds no complete record yet
        Connection._nothing(self, service)

    def expire(self, now: float, service: Service) -> None:
        if self._turn.acquire(blocking=False):
            try:
                if self.phase is not CLOSED:
                    super().expire(now, service)
            except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
                self.loop.fail(self, service, error)
            finally:
                self._turn.release()
            self._take_turns(service)

    def cut_stream(self, stream: Any, service: Service) -> bool:
        """As of any connection, under the lock. A thread that has it serves a request, and looks at the time of the
        response itself (``stream_limit.py``)."""
        if not self._turn.acquire(blocking=False):
            return False
        try:
            return self.phase is CLOSED or stream not in self.streams() or super().cut_stream(stream, service)
        finally:
            self._turn.release()
            self._take_turns(service)

    def move(self, moves: Mover, service: Service) -> None:
        if self._turn.acquire(blocking=False):
            try:
                if self.phase is not CLOSED:
                    super().move(moves, service)
            finally:
                self._turn.release()
            self._take_turns(service)

    def drain(self, service: Service) -> None:
        if self._turn.acquire(blocking=False):
            try:
                if self.phase is not CLOSED:
                    if self.outbound is None:
                        self.mask = IN | OUT  # a thread that gets the event meanwhile has to rearm it
                    super().drain(service)
            except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
                self.loop.fail(self, service, error)
            finally:
                self._turn.release()
        elif not (self.loop.moving and self.portable(service)):
            self.leaving = True
        self.again = True  # the thread that serves it now looks once more when done
        self._take_turns(service)


class Ceded(SharedConnection):
    """A connection that passes to its app with the first bytes: until then it waits in the loop and needs no thread."""

    __slots__ = ()

    def _received(self, data: bytes, service: Service) -> None:
        if not data:
            self.close(service)
            return
        self._cede(data, service)

    def _cede(self, data: bytes, service: Service) -> None:
        try:
            owned = Owned(self.loop, self.fd)
        except OSError as error:
            log.error("closed a connection: %s; %s", error, NO_DESCRIPTOR)
            self.close(service)
            return
        self.phase = CLOSED
        self.loop.remove(self)
        self.loop.add(owned)
        owned.start(data, service, self.conversation.peer)


class Greeted(Ceded):
    """A connection that passes to its app at once, so that the app may speak first."""

    __slots__ = ()

    def begin(self, service: Service) -> None:
        self._cede(b"", service)


class Owned(Source[Service]):
    """A connection that its app, a function, owns: the function runs in a thread of its own, so that a silent client
    blocks no loop.

    Limits on connections bound the threads. The thread closes its end of a pipe when it is done, and the loop does
    the rest.
    """

    def __init__(self, loop: ServedLoop, fd: int) -> None:
        """Raises OSError, and changes nothing, if there is no descriptor for the pipe."""
        self.loop = loop
        self._shut = False  # the connection was shut down
        self._client = f"descriptor {fd}"
        self.fd, self._done = os.pipe()
        os.set_blocking(self.fd, False)
        self.sock = Socket(fileno=fd)

    def start(self, data: bytes, service: Service, peer: Peer) -> None:
        """Run the app in a new thread. Closes the connection if the system has no thread for it."""
        self._client = self._client if peer is NOBODY else peer.client
        try:
            threads.start(lambda: self._run(data, service, peer), threading.current_thread().name)
        except RuntimeError as error:
            log.error("closed a connection: %s; raise the limit on processes or lower limits.connections", error)
            close(self._done)

    def _run(self, data: bytes, service: Service, peer: Peer) -> None:
        try:
            service.converse(self.sock, data, self.loop.timeouts.idle, self.loop.timeouts.write, peer)
        finally:
            forked.leave()
            close(self._done)

    def drain(self, service: Service) -> None:
        """Do nothing: a conversation goes on until the app or the client ends it, or ``expire`` does."""

    def expire(self, now: float, service: Service) -> None:
        """When the time to drain is nearly over, shut the connection down: the app finds the client gone, and ends."""
        if now == inf and not self._shut:
            self._shut = True
            forked.shut(self.sock.fileno())

    def streams(self) -> Sequence[Hashable]:
        """Return what stands for the conversation."""
        return (self,)

    def cut_stream(self, stream: Any, service: Service) -> bool:
        """A drain has waited for long enough: shut the connection down, as ``expire`` does."""
        if not self._shut:
            self._shut = True
            service.cut(f"a conversation with {self._client}", self.loop.timeouts.stream or 0.0)
            forked.shut(self.sock.fileno())
        return True

    def descriptors(self) -> set[int]:
        """Both ends of the pipe, and the connection."""
        return {self.fd, self._done, self.sock.fileno()}

    def on_event(self, events: int, service: Service) -> None:
        try:
            read(self.fd, 1)
        except BlockingIOError:
            return  # the event was that of an earlier owner of this descriptor
        if self.loop.remove(self):
            close(self.fd)
            if forked.seen():
                forked.shut(self.sock.fileno())
            self.sock.close()
            self.loop.open -= 1
            service.row[DONE] += 1
