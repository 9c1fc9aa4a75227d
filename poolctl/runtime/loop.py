"""What every loop has in common: descriptors and who handles them, timeouts, and how a loop comes to its end.

    poller -- (fd, events) --> handlers[fd].on_event(events, service)
                               a listener, an inbox, the lifeline, a connection

A loop belongs to one thread, or is *shared*: then several threads wait on one event set, and the kernel wakes one of
them for each event (leader/followers with the kernel as arbiter). A source is registered for one event, and armed
again by whoever got it, when the next may lead. A connection is registered for edges, which saves that call, and has a
lock.

The end: the lifeline reaches its end of file; the loop drains. Its listeners are asked until nobody waits there any
more, its inboxes until their end of file, and connections are closed as they fall idle. With the last of them the
loop is finished.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from time import monotonic
from typing import Any

from poolctl.runtime.listener import Listener
from poolctl.runtime.poller import EDGE, EXCLUSIVE, IN, ONCE, OUT, RDHUP, Poller, SelectorsPoller, make_poller
from poolctl.runtime.source import Handler, Lifeline, Lingering, Listening, Source

log = logging.getLogger("poolctl")
NOW = socket.MSG_DONTWAIT
SWEEP = 0.5  # seconds between two looks at the timeouts; none while there is nothing that can time out
LINGERING = 256  # connections that may linger at once


class Loop:
    """Waits, hands events to handlers, sweeps timeouts, drains. ``shared`` when several threads run it."""

    def __init__(self, lifeline: int, *, shared: bool = False) -> None:
        self.poller: Poller = make_poller()
        self.shared = shared
        self.once = ONCE if shared else 0
        self.edge = EDGE | RDHUP if shared else 0  # one edge may tell of bytes and of the end after them
        self.handlers: dict[int, Handler] = {}
        self.sources: set[int] = set()  # descriptors that keep the loop alive though nothing is in hand
        self.listening: dict[int, Source] = {}
        self.draining = False
        self.ending = False  # may finish after any event
        self.finished = False
        self.now = monotonic()
        self._next_sweep = 0.0
        self._paused: list[Listening] = []
        self.lingering = 0
        # A thread that waits must notice that the others have finished; closing its end of this pipe is how it does.
        self._over, self._not_over = os.pipe()
        self.poller.register(self._over, IN)
        # epoll forgets a closed socket by itself; the fallback has to be told
        self._explicit = isinstance(self.poller, SelectorsPoller)
        self.sources.add(lifeline)
        self.handle(Lifeline(self, lifeline))

    # registrations

    def handle(self, handler: Handler) -> None:
        """From now on this handler gets the events of its descriptor."""
        self.handlers[handler.fd] = handler
        once = self.once if handler.rearm else self.edge
        self.poller.register(handler.fd, handler.mask | once)

    def want(self, handler: Handler, mask: int) -> None:
        """The handler waits for something else than before."""
        handler.mask = mask
        if handler.fd in self.handlers:
            with contextlib.suppress(FileNotFoundError):  # a newcomer's first bytes are read before it is registered
                self.poller.modify(handler.fd, mask | self.edge)

    def arm(self, handler: Handler) -> None:
        """In a shared loop: the thread that got this handler's event is ready for the next one. Another thread may drop
        the handler at any moment, when the loop drains or the handler has waited too long."""
        if self.handlers.get(handler.fd) is handler:
            with contextlib.suppress(FileNotFoundError):
                self.poller.modify(handler.fd, handler.mask | ONCE)

    def nudge(self, handler: Handler) -> None:
        """Give a connection an event: its descriptor is idle, and so writable. In a shared loop another thread may not
        have registered it yet; that one sees by itself that the loop drains."""
        with contextlib.suppress(FileNotFoundError):
            self.poller.modify(handler.fd, IN | OUT | self.edge)

    def drop(self, handler: Handler) -> None:
        """No more events for this handler; it still has its descriptor."""
        if self.handlers.pop(handler.fd, None) is not None:
            with contextlib.suppress(FileNotFoundError):  # as above
                self.poller.unregister(handler.fd)
        self.sources.discard(handler.fd)

    def sleep(self, handler: Handler) -> None:
        """No more events for this handler, which the loop still has: a drain waits for it."""
        handler.mask = 0
        with contextlib.suppress(FileNotFoundError):  # as above
            self.poller.unregister(handler.fd)

    def closing(self, handler: Handler) -> None:
        """The handler is about to close its descriptor, of which no other process has a copy."""
        if self.handlers.pop(handler.fd, None) is not None and self._explicit:
            with contextlib.suppress(FileNotFoundError):  # as above
                self.poller.unregister(handler.fd)

    def listen(
        self, listener: Listener, on_connection: Any, lock: Any = None, *, contended: bool = False, rushes: bool = False
    ) -> None:
        """Take connections of this listener, one an event. ``contended``: other loops wait for it too.
        ``rushes``: take more at once while events follow each other fast."""
        handler = Listening(self, listener, on_connection, lock, rushes)
        self.listening[handler.fd] = handler
        self.sources.add(handler.fd)
        if contended:
            self.contend(handler)
        self.handle(handler)

    def contend(self, source: Source) -> None:
        """Other loops wait for the same descriptor: the kernel is to wake one of them for an event."""
        if not self.shared and not self._explicit:  # EPOLLEXCLUSIVE and EPOLLONESHOT exclude each other
            source.mask |= EXCLUSIVE

    def step_back(self, source: Source) -> None:
        """To the end of the queue of those who wait for the same descriptor.

        The kernel wakes the first of them that is idle (ep_poll_callback), which would always be the same few: they
        would take nearly all connections, and keep them. nginx steps back too (ngx_reorder_accept_events).
        """
        if source.mask & EXCLUSIVE and source.fd in self.handlers:
            self.poller.unregister(source.fd)
            self.poller.register(source.fd, source.mask)

    # the loop

    def run(self, service: Any = None) -> None:
        """Serve until drained. In a shared loop every thread calls this, each with its own service."""
        poll, handlers, shared, explicit = self.poller.poll, self.handlers, self.shared, self._explicit
        count = 1 if shared else 256
        while not self.finished:
            events = poll(self._patience(), count)
            self.now = now = monotonic()
            self.before_events()
            for fd, event in events:
                handler = handlers.get(fd)
                if handler is None:
                    continue
                self.deliver(handler, event, service)
                if shared and (handler.rearm or explicit):
                    self.arm(handler)
            if now >= self._next_sweep:
                self._next_sweep = now + SWEEP
                self._sweep(now, service)
            if self.ending:
                self._drained(not events, service)

    def deliver(self, handler: Handler, event: int, service: Any) -> None:
        """One event, and the boundary around all that a handler does: what it raises ends that one alone."""
        try:
            handler.on_event(event, service)
        except BaseException:
            log.exception("a connection failed")
            self.break_off(handler, service)

    def break_off(self, handler: Handler, service: Any) -> None:
        """Let go of a handler that has failed. A source stays: what failed is what came from it."""
        if isinstance(handler, Source):
            return
        self.drop(handler)
        with contextlib.suppress(OSError):
            os.close(handler.fd)

    def before_events(self) -> None:
        """After each wait, before any handler is called."""

    def _patience(self) -> float | None:
        if self.draining and self.listening and not self._paused:
            return 0
        return SWEEP if self._paused or len(self.handlers) > len(self.sources) else None

    def _sweep(self, now: float, service: Any) -> None:
        for handler in list(self.handlers.values()):
            handler.expire(now, service)
        paused, self._paused = self._paused, []
        for listening in paused:
            self.handle(listening)

    def pause(self, listening: Listening) -> None:
        """Take nobody from this listener until the next sweep."""
        if self.handlers.pop(listening.fd, None) is not None:
            self.poller.unregister(listening.fd)
            self._paused.append(listening)

    def turn_away(self, fd: int, words: bytes) -> None:
        """Tell a client why it is not served, let it read that, close.

        Closing with unread bytes resets the connection, and the reset can overtake the words (RFC 9112, 9.6): so they
        are sent, our direction is closed, and what still comes is read and thrown away for a moment.
        """
        sock = socket.socket(fileno=fd)
        try:
            if words:
                sock.send(words, NOW)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            sock.close()  # gone, or so far behind that it reads no more: nothing is left to say
            return
        if words:
            self.linger(sock)
        else:
            sock.close()

    def linger(self, sock: socket.socket) -> None:
        """All is said, and our direction closed: let the client read it, then close."""
        if self.lingering >= LINGERING:
            sock.close()
        else:
            self.handle(Lingering(self, sock))

    # the end

    def drain(self, service: Any) -> None:
        """The lifeline ended: take what has come, finish what is in hand, leave."""
        if self.draining:
            return
        for listening in list(self.listening.values()):
            # Of those who share a listener only one was woken for a connection: ask the kernel anew what waits there.
            self.drop(listening)
            self.sources.add(listening.fd)
            self.handle(listening)
        self._paused.clear()
        self.draining = self.ending = True  # not before: another thread may drop a listener as soon as it sees this
        for handler in list(self.handlers.values()):
            handler.drain(service)

    def abandon(self) -> None:
        """Nobody is left on the other side: mold and workers are dead, and what is in hand will never come back."""
        log.error("all workers and the mold are gone: leaving")
        self._finish()

    def _finish(self) -> None:
        if not self.finished:
            self.finished = True
            os.close(self._not_over)  # the end of file wakes every thread that still waits

    def _drained(self, quiet: bool, service: Any) -> None:
        if quiet and not self._paused:
            for listening in list(self.listening.values()):
                if not listening.look(service) and listening not in self._paused:
                    self.listening.pop(listening.fd, None)
                    self.drop(listening)
        if not self.handlers:
            self._finish()
