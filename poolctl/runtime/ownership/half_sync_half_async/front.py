"""The front of half-sync/half-async: it hands connections over, or gives a worker the turn to accept one itself.

accept: front     listener -- accept --> router --> inbox, with the connection --> worker
accept: worker    listener -- readable -> router --> inbox, a turn -----------> worker accepts
                     ^                                                            |
                     +----------- checked again when a turn was taken ------------+

The file is long because both ways to accept share the front's limit and its end.
"""

from __future__ import annotations

import array
import itertools
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Sequence
from os import read
from typing import Final

from poolctl.runtime.channels.inbox import Inbox
from poolctl.runtime.channels.notices import INBOX_JOINED, INBOX_LEAVES, INBOX_LEFT, MOST_INBOXES, Attention
from poolctl.runtime.channels.parcel import FLAG_MOVED, HEAD, introduction, server_end
from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.listen.door import Door
from poolctl.runtime.listen.listener import Listener
from poolctl.runtime.listen.listening import listen
from poolctl.runtime.listen.moves import MovedConnections, Moves
from poolctl.runtime.loop.loop import SWEEP_SECONDS, Loop
from poolctl.runtime.loop.source import Source
from poolctl.runtime.protocol import Protocol
from poolctl.runtime.routing.room import Rooms
from poolctl.runtime.routing.router import Router
from poolctl.runtime.site.settings import Settings
from poolctl.runtime.system.poller import EDGE, IN
from poolctl.runtime.task import NOBODY, Peer

OVERDUE_SECONDS: Final = 1.0  # until a turn that was not taken is given again


class HandingFront(Loop[None], ABC):
    """Owns the listeners and no connections. ``limit``: the most connections of all workers at once; ``notices``: the
    mold's messages about workers that die and are replaced, where they are processes."""

    def __init__(
        self, lifeline: int, protocol: Protocol, router: Router, limit: int, notices: socket.socket | None = None
    ) -> None:
        super().__init__(lifeline)
        self.protocol = protocol
        self.router = router
        self.limit = limit
        self.rooms = Rooms(self, router)
        self._free = 0  # connections that may be accepted before the rows are read again
        self.turns: dict[int, int] = {}  # handed out and not taken yet: ticket to number of the listener
        # A successor of a killed front must not mistake records of the old front's turns for its own.
        self.tickets = itertools.count(os.getpid() << 32 | 1)
        if notices is not None:
            self.add_source(Attention(self, notices))

    def take(self, settings: Settings, dispatch: Dispatch | None) -> None:
        """Take the limits as they are now, and another strategy if there is one. Called in the thread of this loop."""
        self.limit, self._free = self._limit_of(settings), 0
        self.router.limit_to(settings.waiting)
        if dispatch is not None:
            self.rooms.wait_for(self.router.choose_by(dispatch))

    def hand_over(self, listener: Listener, number: int) -> None:
        """For accept: front. Accept the connections of a listener and give each to a worker."""

        def on_connection(fd: int, peer: Peer, service: None, door: Door) -> None:
            if self._full():
                self.turn_away(fd, door.busy(peer))
            else:
                self.rooms.wait_for(self._hand(fd, peer, number))

        listen(self, listener, on_connection, rushes=True)

    def join_moves(self, moves: Moves, listeners: Sequence[Listener]) -> None:
        """Give connections that move here from other processes to workers."""
        MovedConnections(self, moves, listeners, self._adopt, self._room, able=lambda: self.router.free > 0)

    def _adopt(self, fd: int, peer: Peer, service: None, number: int) -> None:
        """Give a connection that has moved here from another process to a worker."""
        self._free = max(self._free - 1, 0)
        self.rooms.wait_for(self._hand(fd, peer, number, moved=True))

    def _room(self) -> bool:
        """Whether there is room for one more connection."""
        return bool(self._free) or min(self.router.free, self.limit - self.router.load) > 0

    def give_turns(self, listener: Listener, number: int, returns: int) -> None:
        """For accept: worker. ``returns``: the descriptor of the pipe in which workers record the turns they took."""
        self.listen(WatchedListener(self, listener, number))
        if returns not in self.handlers:
            self.add_source(TakenTurns(self, returns))

    def _full(self) -> bool:
        """Count a new connection. Returns True if it is one too many. Only this front adds connections, so those that
        were free at the last look can be used up before the next: reading all rows for each connection would cost more
        than handing it over."""
        if not self._free:
            self._free = max(min(self.router.free, self.limit - self.router.load), 0)
            if not self._free:
                return True
        self._free -= 1
        return False

    @abstractmethod
    def _limit_of(self, settings: Settings) -> int:
        """Return the most connections of all workers at once."""

    @abstractmethod
    def _hand(self, fd: int, peer: Peer, number: int, *, moved: bool = False) -> list[Inbox]:
        """Route a connection. ``moved``: it has passed its door. Returns the inboxes that turned out to be full."""

    def give_turn(self, number: int) -> int:
        """Choose a worker to accept the connection that waits at this listener. Returns the ticket of its turn."""
        ticket = next(self.tickets)
        self.turns[ticket] = number
        self.rooms.wait_for(self._turn(number, ticket))
        return ticket

    @abstractmethod
    def _turn(self, number: int, ticket: int) -> list[Inbox]:
        """Route a turn. Returns the inboxes that turned out to be full."""

    def _patience(self) -> float | None:
        # While a worker has a turn the listener need not be checked: the worker's record will wake this loop. If the
        # worker is killed before it writes one, the sweep notices.
        if self.turns or (self.router.queue.count and not self.draining):
            return SWEEP_SECONDS
        return super()._patience()

    def notice(self, kind: int, number: int) -> None:
        """Act on a notice about workers. They own their connections, so a dead worker's connections are lost with
        it."""
        if kind == INBOX_LEFT:
            self.router.left(number)
        elif kind == INBOX_LEAVES:
            pid, index = divmod(number, MOST_INBOXES)
            self.rooms.wait_for(self.router.leaves(index, pid, 1))
        elif kind == INBOX_JOINED:
            self.rooms.wait_for(self.router.joined(number))

    def before_events(self) -> None:
        self.rooms.retry()

    def _drained(self, quiet: bool, service: None) -> None:
        super()._drained(quiet and not self.turns, service)
        if not self.listening and self.router.empty:
            for fd in list(self.sources):
                self.remove(self.handlers[fd])
            super()._drained(quiet, service)


class ProcessHandingFront(HandingFront):
    """Between processes: the message carries the descriptor."""

    def _limit_of(self, settings: Settings) -> int:
        return settings.connections

    def _hand(self, fd: int, peer: Peer, number: int, *, moved: bool = False) -> list[Inbox]:
        intro = introduction(peer, number)
        item = HEAD.pack(0, FLAG_MOVED if moved else 0, len(intro), self.now) + intro
        if moved:
            item += server_end(peer)
        return self.router.route(peer, self.now, 0, item, (fd,), fd)

    def _turn(self, number: int, ticket: int) -> list[Inbox]:
        intro = introduction(NOBODY, number)
        return self.router.route(NOBODY, self.now, 0, HEAD.pack(ticket, 0, len(intro), self.now) + intro)


class ThreadHandingFront(HandingFront):
    """Between threads: the item has the number of the descriptor."""

    def _limit_of(self, settings: Settings) -> int:
        return settings.at_once

    def _hand(self, fd: int, peer: Peer, number: int, *, moved: bool = False) -> list[Inbox]:
        return self.router.route(peer, self.now, 0, (fd, peer, number, moved, self.now))

    def _turn(self, number: int, ticket: int) -> list[Inbox]:
        return self.router.route(NOBODY, self.now, 0, (number, ticket))


class WatchedListener(Source[None]):
    """A listener that the front watches and does not accept from. An edge reports one connection, or several that came
    together: when the last turn has been taken, checking again shows whether more wait.

    When an older turn has been taken there is no need to check: the connection of the last turn would be reported once
    more, and a second turn for it would find nothing.
    """

    mask = IN | EDGE

    def __init__(self, front: HandingFront, listener: Listener, number: int) -> None:
        self.front = front
        self.listener = listener
        self.fd = listener.fd
        self.kept_outside = listener.kept_outside
        self.number = number
        self.given = 0.0  # when the last turn was given
        self.last = 0  # its ticket
        self.looked = 0.0  # when it was last checked again

    def on_event(self, events: int, service: None) -> None:
        if self.looked == self.front.now:
            return  # an event from before that check, which will report the same again
        if self.front.draining and self.listener.shut:
            self.front.listening.pop(self.fd, None)
            self.front.remove(self)
            return
        self.given = self.front.now
        self.last = self.front.give_turn(self.number)

    def deafen(self) -> None:
        """Refuse new clients; those that wait are still accepted."""
        self.listener.deafen()

    def look(self, service: None) -> bool:
        """Check the listener at the end of a drain, when no turn is pending. Returns whether a connection waits."""
        waits = self.listener.end()
        if waits:
            self.last = self.front.give_turn(self.number)
        return waits

    def expire(self, now: float, service: None) -> None:
        """Check again if a turn is overdue: it may be lost with its worker. One turn too many does no harm."""
        if self.number in self.front.turns.values() and now - self.given > OVERDUE_SECONDS:
            self.front.turns = {each: number for each, number in self.front.turns.items() if number != self.number}
            self.look_again()

    def look_again(self) -> None:
        """Rearm the listener, so that the next event reports whether a connection waits now."""
        self.looked = self.front.now
        self.front.poller.modify(self.fd, self.mask)


class TakenTurns(Source[None]):
    """The records that workers write of the turns they took."""

    def __init__(self, front: HandingFront, fd: int) -> None:
        self.front = front
        self.fd = fd

    def on_event(self, events: int, service: None) -> None:
        data = read(self.fd, 65536)
        if not data:
            self.front.abandon()
            return
        records = array.array("Q")
        records.frombytes(data)
        tickets = [record >> 2 for record in records]
        strange = None in [self.front.turns.pop(ticket, None) for ticket in tickets]  # a killed front's
        for each in list(self.front.listening.values()):
            if isinstance(each, WatchedListener) and (strange or each.last in tickets):
                each.look_again()
