"""The handler of each descriptor, and the events that the poller waits for.

    call              the loop has the handler    the poller has the descriptor
    add               yes                         yes, for handler.mask
    modify            yes                         yes, for another mask
    rearm, wake       yes                         yes, again, if an event has disarmed it
    mute              yes                         no: a drain still waits for the handler
    pause             no                          no, until a descriptor is free or the next sweep; then both
    remove, closing   no                          no

A loop belongs to one thread, or is *shared*: then several threads wait on one event set, and the kernel wakes one of
them for each event (leader/followers with the kernel as arbiter). A source is registered for one event; the thread that
got it rearms the source once the next thread may lead. A connection is registered for edges, which saves that call, and
has a lock.

The thread that removes a handler closes its descriptor afterwards. In a shared loop one lock makes two steps atomic: to
rearm a handler if it is still registered, and to remove one. So no thread arms a descriptor that another has closed,
whose number may already belong to another connection.
"""

from __future__ import annotations

import contextlib
from threading import Lock
from typing import Generic

from mypy_extensions import mypyc_attr

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


@mypyc_attr(allow_interpreted_subclasses=True)
class Registrations(Generic[S]):
    """Handlers by descriptor. ``shared``: several threads run the loop; ``poller``: by default the best one of the
    platform."""

    def __init__(self, *, shared: bool, poller: Poller | None) -> None:
        self.poller: Poller = make_poller() if poller is None else poller
        self.shared = shared
        self.once = ONCE if shared else 0
        self.edge = EDGE | RDHUP if shared else 0  # one edge may report bytes and the end of file after them
        self.handlers: dict[int, Handler[S]] = {}
        self.sources: set[int] = set()  # descriptors that keep the loop running while nothing is in flight
        self.listening: dict[int, Source[S]] = {}
        self._paused: list[Source[S]] = []
        self._next_look = 0.0  # when to sweep next; 0: at once, as a paused listener can resume
        self._lock = Lock()  # held while a handler is rearmed or removed
        # epoll drops a closed socket by itself; the fallback does not
        self._explicit = isinstance(self.poller, SelectorsPoller)

    def descriptors(self) -> set[int]:
        """Return all registered descriptors, and those of the poller."""
        held = own_descriptors(self.poller).union(self.handlers)
        more = [each for each in list(self.handlers.values()) if isinstance(each, forked.DescriptorHolder)]
        return held.union(*(each.descriptors() for each in more))

    def add(self, handler: Handler[S]) -> None:
        """Register a handler: from now on it gets the events of its descriptor."""
        self.handlers[handler.fd] = handler
        handler.watched = True
        once = self.edge if handler.delivery is Delivery.EDGE else self.once
        self.poller.register(handler.fd, handler.mask | once)

    def modify(self, handler: AnyHandler, mask: int) -> None:
        """Change the events that a handler waits for."""
        handler.mask = mask
        if self.handlers.get(handler.fd) is handler:  # otherwise closed, and its number may belong to another handler
            with contextlib.suppress(FileNotFoundError):  # a connection is read once before it is registered
                self.poller.modify(handler.fd, mask | self.edge)

    def rearm(self, handler: AnyHandler) -> None:
        """In a shared loop, have the poller report the next event of a handler. Does nothing if another thread has
        removed the handler meanwhile, because the loop drains or the handler timed out."""
        with self._lock:
            if self.handlers.get(handler.fd) is handler:
                with contextlib.suppress(FileNotFoundError):
                    self.poller.modify(handler.fd, handler.mask | ONCE)

    def wake(self, handler: AnyHandler) -> None:
        """Make the poller report an event of an idle connection, whose descriptor is writable. In a shared loop another
        thread may not have registered it yet; that thread notices by itself that the loop drains."""
        if self.handlers.get(handler.fd) is handler:
            with contextlib.suppress(FileNotFoundError):
                self.poller.modify(handler.fd, IN | OUT | self.edge)

    def remove(self, handler: AnyHandler) -> bool:
        """Stop the events of a handler, which keeps its descriptor. Returns False if another thread has already removed
        it."""
        with self._lock:
            here = self.handlers.get(handler.fd) is handler
            if here:
                del self.handlers[handler.fd]
                with contextlib.suppress(FileNotFoundError):  # not registered yet, or muted
                    self.poller.unregister(handler.fd)
                self.sources.discard(handler.fd)
        if self._paused:
            self._next_look = 0.0  # its descriptor is about to be free
        return here

    def mute(self, handler: AnyHandler) -> None:
        """Stop the events of a handler but keep it in the loop, so that a drain waits for it."""
        handler.mask = 0
        if self.handlers.get(handler.fd) is handler:
            with contextlib.suppress(FileNotFoundError):  # not registered yet, or muted
                self.poller.unregister(handler.fd)

    def closing(self, handler: AnyHandler) -> None:
        """Remove a handler that is about to close its descriptor. It is unregistered here because epoll drops it only
        with its last duplicate, and a process that the app has started may have one."""
        fd = handler.fd
        if self.shared:
            with self._lock:
                self._forget(fd, handler)
        else:
            self._forget(fd, handler)
        if self._paused:
            self._next_look = 0.0  # its descriptor is about to be free

    def _forget(self, fd: int, handler: AnyHandler) -> None:
        if self.handlers.get(fd) is handler:
            del self.handlers[fd]
            if handler.watched:
                try:
                    self.poller.unregister(fd)
                except FileNotFoundError:
                    return  # not registered yet, or muted

    def renew(self, handler: Handler[S]) -> None:
        """Make the poller report a handler's pending events again, since a one-shot event or an edge may have been
        lost."""
        with self._lock:
            if self.handlers.get(handler.fd) is handler and handler.mask:
                once = self.edge if handler.delivery is Delivery.EDGE else ONCE
                with contextlib.suppress(FileNotFoundError):
                    self.poller.modify(handler.fd, handler.mask | once)

    # sources and listeners

    def add_source(self, source: Source[S]) -> None:
        """Register a source. A drain does not wait for it."""
        self.sources.add(source.fd)
        self.add(source)

    def listen(self, listener: Source[S], *, contended: bool = False) -> None:
        """Register a listener, which accepts until the end of a drain. ``contended``: other loops wait for it too."""
        self.listening[listener.fd] = listener
        if contended:
            self.contend(listener)
        self.add_source(listener)

    def contend(self, source: Source[S]) -> None:
        """For a descriptor that other loops wait for too: have the kernel wake one loop for each event."""
        if not self.shared and not self._explicit:  # EPOLLEXCLUSIVE and EPOLLONESHOT exclude each other
            source.mask |= EXCLUSIVE

    def step_back(self, source: Source[S]) -> None:
        """Move to the end of the queue of loops that wait for the same descriptor.

        The kernel wakes the first idle loop of the queue (ep_poll_callback). That would always be one of the same few,
        which would get and keep nearly all connections. nginx does the same (ngx_reorder_accept_events).
        """
        if source.mask & EXCLUSIVE and source.fd in self.handlers:
            self.poller.unregister(source.fd)
            self.poller.register(source.fd, source.mask)

    def pause(self, listener: Source[S]) -> None:
        """Stop accepting from a listener until a descriptor is free again, or until the next sweep."""
        with self._lock:
            if self.handlers.pop(listener.fd, None) is not None:
                self.poller.unregister(listener.fd)
                self._paused.append(listener)

    def _resume(self) -> None:
        """Register the paused listeners again."""
        with self._lock:
            paused, self._paused = self._paused, []
        for listener in paused:
            self.add(listener)
