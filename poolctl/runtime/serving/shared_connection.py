"""Connections of a loop that several threads run: any of them may serve it, one at a time."""

from __future__ import annotations

import logging
import os
import threading
from math import inf
from os import close, read
from socket import socket as Socket
from threading import Lock

from poolctl.runtime.loop.source import NO_DESCRIPTOR, Source
from poolctl.runtime.protocol import Conversation
from poolctl.runtime.scoreboard import DONE
from poolctl.runtime.serving.connection import Connection, ServedLoop
from poolctl.runtime.serving.leaving import BROKEN
from poolctl.runtime.serving.phases import CLOSED
from poolctl.runtime.serving.service import Service
from poolctl.runtime.system import forked, threads
from poolctl.runtime.system.poller import ERR, HUP, IN, OUT, RDHUP
from poolctl.runtime.task import Peer

log = logging.getLogger("poolctl")
ENDS = RDHUP | HUP | ERR


class SharedConnection(Connection):
    """A connection that any thread may serve: the lock is held by the one that does.

    Edges may come while it is being served. Who gets one notes it, then tries the lock; who has the lock lets go of it,
    then looks at the note. So one of the two sees to what came in between.
    """

    __slots__ = ("_broken", "_turn")

    def __init__(self, loop: ServedLoop, fd: int, conversation: Conversation) -> None:
        super().__init__(loop, fd, conversation)
        self._turn = Lock()
        self._broken = 0  # what an edge has said of the client's leaving

    def begin(self, service: Service) -> None:
        """In one turn: when the loop drains, another thread may close it as soon as nobody has the turn."""
        with self._turn:
            self._serve(service)
            if self.phase is not CLOSED:
                self.loop.add(self)
        self._take_turns(service)

    def on_event(self, events: int, service: Service) -> None:
        if events & ENDS:
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
        """In one's turn, so that nobody else serves a connection that is broken."""
        try:
            super().on_event(IN | self._broken, service)
        except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
            self.loop.fail(self, service, error)

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

    def drain(self, service: Service) -> None:
        if self._turn.acquire(blocking=False):
            try:
                if self.phase is not CLOSED:
                    if self.outbound is None:
                        self.mask = IN | OUT  # who gets the event while this is held has to ask for it again
                    super().drain(service)
            except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
                self.loop.fail(self, service, error)
            finally:
                self._turn.release()
        else:
            self.leaving = True
        self.again = True  # whoever serves it now looks once more when done
        self._take_turns(service)


class Ceded(SharedConnection):
    """A connection that becomes its app's with the first bytes: until then it waits here, where silence costs
    nothing."""

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
            log.error("a connection is closed: %s; %s", error, NO_DESCRIPTOR)
            self.close(service)
            return
        self.phase = CLOSED
        self.loop.remove(self)
        self.loop.add(owned)
        owned.start(data, service, self.conversation.peer)


class Greeted(Ceded):
    """A connection that becomes its app's at once, so that the app may speak first."""

    __slots__ = ()

    def begin(self, service: Service) -> None:
        self._cede(b"", service)


class Owned(Source[Service]):
    """A connection whose app is a function that owns it: it runs in a thread of its own, so that a silent client
    stops no loop.

    Limits on connections bound the threads. The thread closes its end of a pipe when it is done, and the loop does
    the rest.
    """

    def __init__(self, loop: ServedLoop, fd: int) -> None:
        """Raises OSError where there is no descriptor for the pipe; then nothing has changed."""
        self.loop = loop
        self._shut = False  # the client was hung up on
        self.fd, self._done = os.pipe()
        os.set_blocking(self.fd, False)
        self.sock = Socket(fileno=fd)

    def start(self, data: bytes, service: Service, peer: Peer) -> None:
        """Let the app talk. Where the system has no thread for it, that is the end."""
        try:
            threads.start(lambda: self._run(data, service, peer), threading.current_thread().name)
        except RuntimeError as error:
            log.error("a connection is closed: %s; raise the limit on processes or lower limits.connections", error)
            close(self._done)

    def _run(self, data: bytes, service: Service, peer: Peer) -> None:
        try:
            service.converse(self.sock, data, self.loop.timeouts.idle, self.loop.timeouts.write, peer)
        finally:
            forked.leave()
            close(self._done)

    def drain(self, service: Service) -> None:
        """A conversation goes on until both want to end it, but not until the process is killed."""

    def expire(self, now: float, service: Service) -> None:
        """The time to drain is nearly over: the function's next word or wait finds the client gone, so that it ends."""
        if now == inf and not self._shut:
            self._shut = True
            forked.shut(self.sock.fileno())

    def descriptors(self) -> set[int]:
        """Both ends of the pipe, and the connection."""
        return {self.fd, self._done, self.sock.fileno()}

    def on_event(self, events: int, service: Service) -> None:
        try:
            read(self.fd, 1)
        except BlockingIOError:
            return  # the event was another's, who had this number before
        if self.loop.remove(self):
            close(self.fd)
            if forked.seen():
                forked.shut(self.sock.fileno())
            self.sock.close()
            self.loop.open -= 1
            service.row[DONE] += 1
