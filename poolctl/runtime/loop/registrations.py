"""Which handler stands behind which descriptor, and what the poller waits for there.

    call              the loop has the handler    the poller has the descriptor
    add               yes                         yes, for handler.mask
    modify            yes                         yes, for another mask
    rearm, wake       yes                         yes, once more, where an event has silenced it
    mute              yes                         no: a drain still waits for the handler
    pause             no                          no, until a descriptor is free or the next sweep; then both
    remove, closing   no                          no

A loop belongs to one thread, or is *shared*: then several threads wait on one event set, and the kernel wakes one of
them for each event (leader/followers with the kernel as arbiter). A source is registered for one event, and rearmed by
the thread that got it, when the next may lead. A connection is registered for edges, which saves that call, and has a
lock.

Descriptors are closed by the thread that dropped their handler, after that. In a shared loop one lock makes "still
there? then rearm it" and "gone from here on" one step each; so no thread arms a number that another has closed, which
may belong to another connection by then.
"""

from __future__ import annotations

import contextlib
from threading import Lock
from typing import Generic

from poolctl.runtime.loop.source import AnyHandler, Delivery, Handler, S, Source
from poolctl.runtime.system import forked
from poolctl.runtime.system.poller import (
    EDGE,
    EXCLUSIVE,
    IN,
    ONCE,
    OUT,
    RDHUP,
    Poller,
    SelectorsPoller,
    make_poller,
    own_descriptors,
)


class Registrations(Generic[S]):
    """Handlers by their descriptors. ``shared`` when several threads run the loop; ``poller``: the best that the
    platform has, where none is given."""

    def __init__(self, *, shared: bool, poller: Poller | None) -> None:
        self.poller: Poller = make_poller() if poller is None else poller
        self.shared = shared
        self.once = ONCE if shared else 0
        self.edge = EDGE | RDHUP if shared else 0  # one edge may tell of bytes and of the end after them
        self.handlers: dict[int, Handler[S]] = {}
        self.sources: set[int] = set()  # descriptors that keep the loop alive though nothing is in flight
        self.listening: dict[int, Source[S]] = {}
        self._paused: list[Source[S]] = []
        self._next_look = 0.0  # when to sweep, or at once when a paused listener can go on
        self._lock = Lock()  # held while a handler is rearmed, and while one is taken out
        # epoll forgets a closed socket by itself; the fallback does not
        self._explicit = isinstance(self.poller, SelectorsPoller)

    def descriptors(self) -> set[int]:
        """All that are registered, and those of the poller."""
        held = own_descriptors(self.poller).union(self.handlers)
        more = [each for each in list(self.handlers.values()) if isinstance(each, forked.DescriptorHolder)]
        return held.union(*(each.descriptors() for each in more))

    def add(self, handler: Handler[S]) -> None:
        """From now on this handler gets the events of its descriptor."""
        self.handlers[handler.fd] = handler
        handler.watched = True
        once = self.edge if handler.delivery is Delivery.EDGE else self.once
        self.poller.register(handler.fd, handler.mask | once)

    def modify(self, handler: AnyHandler, mask: int) -> None:
        """The handler waits for something else than before."""
        handler.mask = mask
        if self.handlers.get(handler.fd) is handler:  # else it was closed, and the number may be another's
            with contextlib.suppress(FileNotFoundError):  # a newcomer's first bytes are read before it is registered
                self.poller.modify(handler.fd, mask | self.edge)

    def rearm(self, handler: AnyHandler) -> None:
        """In a shared loop: the thread that got this handler's event is ready for the next one. Another thread may have
        dropped the handler meanwhile, when the loop drains or the handler has waited too long."""
        with self._lock:
            if self.handlers.get(handler.fd) is handler:
                with contextlib.suppress(FileNotFoundError):
                    self.poller.modify(handler.fd, handler.mask | ONCE)

    def wake(self, handler: AnyHandler) -> None:
        """Give a connection an event: its descriptor is idle, and so writable. In a shared loop another thread may not
        have registered it yet; that thread sees by itself that the loop drains."""
        if self.handlers.get(handler.fd) is handler:
            with contextlib.suppress(FileNotFoundError):
                self.poller.modify(handler.fd, IN | OUT | self.edge)

    def remove(self, handler: AnyHandler) -> bool:
        """No more events for this handler; it still has its descriptor. False when another thread was first."""
        with self._lock:
            here = self.handlers.get(handler.fd) is handler
            if here:
                del self.handlers[handler.fd]
                with contextlib.suppress(FileNotFoundError):  # as above
                    self.poller.unregister(handler.fd)
                self.sources.discard(handler.fd)
        if self._paused:
            self._next_look = 0.0  # its descriptor is about to be free
        return here

    def mute(self, handler: AnyHandler) -> None:
        """No more events for this handler, which the loop still has: a drain waits for it."""
        handler.mask = 0
        if self.handlers.get(handler.fd) is handler:
            with contextlib.suppress(FileNotFoundError):  # as above
                self.poller.unregister(handler.fd)

    def closing(self, handler: AnyHandler) -> None:
        """The handler is about to close its descriptor. The poller has to forget it now, for epoll does so only with
        the last copy, and a process that the app has started may have one."""
        with self._lock:
            if self.handlers.get(handler.fd) is handler:
                del self.handlers[handler.fd]
                if handler.watched:
                    with contextlib.suppress(FileNotFoundError):  # as above
                        self.poller.unregister(handler.fd)
        if self._paused:
            self._next_look = 0.0  # its descriptor is about to be free

    def renew(self, handler: Handler[S]) -> None:
        """Have the poller report anew what a handler waits for, because an event may have been lost: a single one, or
        an edge."""
        with self._lock:
            if self.handlers.get(handler.fd) is handler and handler.mask:
                once = self.edge if handler.delivery is Delivery.EDGE else ONCE
                with contextlib.suppress(FileNotFoundError):
                    self.poller.modify(handler.fd, handler.mask | once)

    # sources and listeners

    def add_source(self, source: Source[S]) -> None:
        """From now on this source gets its events; the loop does not wait for it to end a drain by itself."""
        self.sources.add(source.fd)
        self.add(source)

    def listen(self, listener: Source[S], *, contended: bool = False) -> None:
        """Take what comes to this listener, until the end of a drain. ``contended``: other loops wait for it too."""
        self.listening[listener.fd] = listener
        if contended:
            self.contend(listener)
        self.add_source(listener)

    def contend(self, source: Source[S]) -> None:
        """Other loops wait for the same descriptor: have the kernel wake one of them for each event."""
        if not self.shared and not self._explicit:  # EPOLLEXCLUSIVE and EPOLLONESHOT exclude each other
            source.mask |= EXCLUSIVE

    def step_back(self, source: Source[S]) -> None:
        """To the end of the queue of the loops that wait for the same descriptor.

        The kernel wakes the first of them that is idle (ep_poll_callback), which would always be the same few: they
        would take nearly all connections, and keep them. nginx steps back too (ngx_reorder_accept_events).
        """
        if source.mask & EXCLUSIVE and source.fd in self.handlers:
            self.poller.unregister(source.fd)
            self.poller.register(source.fd, source.mask)

    def pause(self, listener: Source[S]) -> None:
        """Accept nothing from this listener until a descriptor is free again, or the next sweep."""
        with self._lock:
            if self.handlers.pop(listener.fd, None) is not None:
                self.poller.unregister(listener.fd)
                self._paused.append(listener)

    def _resume(self) -> None:
        """Listeners that were paused take clients again."""
        with self._lock:
            paused, self._paused = self._paused, []
        for listener in paused:
            self.add(listener)
