"""The worker's side of half-sync/half-async: its inbox, as a source of its loop.

accept: front     inbox -- a connection --> the worker's loop
accept: worker    inbox -- a turn: the number of a listener --> accept --> the worker's loop

A worker whose app computes, or blocks, leaves connections in its inbox. How long each has been there is known when it
is taken; in an overload those that have waited for longer than the target are refused (``routing/overload.py``). With
``accept: worker`` they wait in the kernel instead, which does not say since when.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import struct
from os import write
from time import monotonic
from typing import Final

from poolctl.runtime.channels.inbox import AT_ONCE, ProcessInbox, RingingInbox, ends
from poolctl.runtime.channels.parcel import HEAD, RECORD, TICKET_ACCEPTED, introduced
from poolctl.runtime.listen.listener import Listener
from poolctl.runtime.listen.listening import BURST_CONNECTIONS, RUSH_SECONDS
from poolctl.runtime.loop.loop import SWEEP_SECONDS
from poolctl.runtime.loop.source import NO_DESCRIPTOR, Source, reason
from poolctl.runtime.routing.overload import Overload, OverloadLimits
from poolctl.runtime.scoreboard import DONE, LATE, TAKEN
from poolctl.runtime.serving.connection_loop import ConnectionLoop
from poolctl.runtime.serving.service import Service
from poolctl.runtime.site.settings import Settings
from poolctl.runtime.task import Peer

log = logging.getLogger("poolctl")
SERVICE_SHARE: Final = 1 / 8  # of the time between two connections in the average


class Arrivals(Source[Service]):
    """An inbox in a loop. ``servers``: (host, port) of each address; ``returns``: the descriptor of the pipe in which
    the front reads which turns were taken."""

    def __init__(self, loop: ConnectionLoop, reader: socket.socket, listeners: list[Listener], returns: int) -> None:
        self.loop = loop
        self.fd = reader.fileno()
        self.listeners = listeners
        self.servers = [(listener.server_host, listener.server_port) for listener in listeners]
        self.returns = returns
        self.dropped = 0  # connections, because this process was out of file descriptors
        self.said = 0.0  # when that was last logged
        self.overload: Overload | None = None
        self.taken = 0.0  # when the last connection was taken
        loop.sources.add(self.fd)

    def accept(self, number: int, ticket: int, service: Service) -> None:
        """A connection is waiting at this listener, and it is this worker's turn to accept it."""
        try:
            fd, peer = self.listeners[number].accept()
        except (BlockingIOError, ConnectionAbortedError):
            # The client has left again, or was accepted in another turn: the task is done.
            self._none(ticket, service)
            return
        except OSError as error:
            if error.errno == errno.EINVAL:  # the listener was shut: this server stops
                self._none(ticket, service)
                return
            # Out of file descriptors or memory. The front gets no record, so it repeats the turn only when it is
            # overdue: that bounds both the log and the work until a descriptor is closed.
            service.row[TAKEN] += 1
            service.row[DONE] += 1
            log.error("cannot accept: %s", reason(error))
            return
        self._tell(ticket)
        self.enter(fd, peer, service, number)

    def bound_by(self, limits: OverloadLimits | None) -> None:
        """Bound the time that connections wait in the inbox; None: no bound."""
        self.overload = None if limits is None else Overload(limits)

    def late(self, sent: float) -> bool:
        """Note when a connection that was just taken was put into the inbox. Returns whether it is to be refused."""
        overload = self.overload
        assert overload is not None  # the caller has looked
        now = monotonic()
        last, self.taken = self.taken, now
        if sent < last:  # it was there already, so the worker has had something else to do since
            overload.service += (now - last - overload.service) * SERVICE_SHARE
        if now - sent <= overload.target:
            overload.emptied()
            return False
        return sent < overload.look(now, sent)

    def refuse(self, fd: int, peer: Peer, service: Service, number: int) -> None:
        """Refuse a connection that has waited for too long."""
        service.row[TAKEN] += 1
        service.row[DONE] += 1
        service.row[LATE] += 1
        self.loop.turn_away(fd, self.listeners[number].door.busy(peer))

    def _none(self, ticket: int, service: Service) -> None:
        service.row[TAKEN] += 1
        service.row[DONE] += 1
        self._tell(ticket)

    def _tell(self, ticket: int) -> None:
        """Tell the front that the turn was taken. If the mold was killed there may be no front to read it."""
        with contextlib.suppress(BrokenPipeError):
            write(self.returns, RECORD.pack(ticket << 2 | TICKET_ACCEPTED))

    def enter(self, fd: int, peer: Peer, service: Service, number: int, *, moved: bool = False) -> None:
        """Serve a connection in this loop. Another thread or worker may take the next one meanwhile. ``moved``: it has
        passed its door in another process."""
        loop = self.loop
        if loop.shared:
            loop.rearm(self)
        else:
            loop.step_back(self)
        if moved:
            loop.adopt(fd, peer, service, self.listeners[number].door)
        else:
            loop.accept(fd, peer, service, self.listeners[number].door)


class ProcessArrivals(Arrivals):
    """Between processes: a message with a descriptor, or without one the number of a listener."""

    def __init__(self, loop: ConnectionLoop, inbox: ProcessInbox, listeners: list[Listener], returns: int) -> None:
        super().__init__(loop, inbox.reader, listeners, returns)
        self.take = inbox.take
        self.rushes = not loop.shared and inbox.capacity == 1  # nobody else takes what this loop leaves
        self.last = 0.0  # when the last event came

    def on_event(self, events: int, service: Service) -> None:
        more = self._arrive(service)
        if self.rushes:
            last, self.last = self.last, self.loop.now
            if more and self.last - last < RUSH_SECONDS:
                for _ in range(BURST_CONNECTIONS):
                    if not self._arrive(service):
                        break

    def _arrive(self, service: Service) -> bool:
        """Take one message. Returns whether it brought a connection, so that another one may follow at once."""
        try:
            message, fds = self.take(AT_ONCE)
        except BlockingIOError:
            return False  # another worker was faster
        try:
            ticket, flags, length, sent = HEAD.unpack_from(message)
        except struct.error:  # it is no task
            if ends(message):
                self.loop.remove(self)
            return False
        start = HEAD.size
        peer, number = introduced(message[start : start + length], self.servers)
        if fds and flags:
            host, port = message[start + length :].decode().split(" ")
            self.enter(fds[0], peer._replace(server_host=host, server_port=port), service, number, moved=True)
        elif fds:
            if self.overload is not None and self.late(sent):
                self.refuse(fds[0], peer, service, number)
            else:
                self.enter(fds[0], peer, service, number)
            return True
        elif ticket:
            self.accept(number, ticket, service)
        else:
            # The kernel closes a descriptor that this process has no number for (unix(7), SCM_RIGHTS).
            service.row[TAKEN] += 1
            service.row[DONE] += 1
            self.dropped += 1
            if self.loop.now - self.said >= SWEEP_SECONDS:
                what = "connection" if self.dropped == 1 else "connections"
                log.error("dropped %d %s so far: out of file descriptors; %s", self.dropped, what, NO_DESCRIPTOR)
                self.said = self.loop.now
        return False


class ThreadArrivals(Arrivals):
    """Between threads: (descriptor, peer, number of the listener, whether it has passed its door, when it was put
    there), or for a turn (number, its ticket)."""

    def __init__(self, loop: ConnectionLoop, inbox: RingingInbox, listeners: list[Listener], returns: int) -> None:
        super().__init__(loop, inbox.reader, listeners, returns)
        self.take = inbox.take_now

    def on_event(self, events: int, service: Service) -> None:
        try:
            item = self.take()
        except BlockingIOError:
            return  # another worker was faster
        if item is None:
            self.loop.remove(self)
            return
        if len(item) == 2:
            number, ticket = item
            self.accept(number, ticket, service)
        else:
            fd, peer, number, moved, sent = item
            if self.overload is not None and not moved and self.late(sent):
                self.refuse(fd, peer, service, number)
            else:
                self.enter(fd, peer, service, number, moved=moved)


def bounded(arrivals: Arrivals, settings: Settings) -> Arrivals:
    """Bound the time that connections wait there as the settings say, now and whenever they change. Returns it."""
    settings.follow(lambda: arrivals.bound_by(settings.overload))
    arrivals.bound_by(settings.overload)
    return arrivals
