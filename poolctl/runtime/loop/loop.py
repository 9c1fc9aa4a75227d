"""What every loop has in common: descriptors and who handles them, timeouts, and how a loop comes to its end.

    poller -- (fd, events) --> handlers[fd].on_event(events, service)
                               a listener, an inbox, the lifeline, a connection

A loop belongs to one thread, or is *shared*: then several threads wait on one event set, and the kernel wakes one of
them for each event (leader/followers with the kernel as arbiter). A source is registered for one event, and armed
again by whoever got it, when the next may lead. A connection is registered for edges, which saves that call, and has a
lock.

What a handler raises ends what that handler stands for, and nothing else: it is logged, counted, and the handler gives
back what it held (``Handler.abort``). A turn that fails outside of any handler is logged, and the loop goes on.

Descriptors are closed by whoever drops their handler, after that. In a shared loop one lock makes "still there? then
arm it" and "gone from here on" one step each; so no thread arms a number that another has closed, which may be
somebody else's by then.

The end: the lifeline reaches its end of file; the loop drains. Its listeners are asked until nobody waits there any
more (the supervisor shuts them when that is so), its inboxes are read until their end of file, and connections are
closed as they fall idle. With the last of them the loop is finished.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import socket
from math import inf
from os import close
from socket import socket as Socket
from threading import Lock
from time import monotonic
from typing import Any

from poolctl.runtime.loop.draining import cancels_after
from poolctl.runtime.loop.source import Delivery, Handler, Lifeline, Lingering, Source
from poolctl.runtime.scoreboard import FAILED
from poolctl.runtime.system import forked
from poolctl.runtime.system.channel import DONTWAIT
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

log = logging.getLogger("poolctl")
SWEEP = 0.5  # seconds between two looks at the timeouts; none while there is nothing that can time out
LINGERING = 256  # connections that may linger at once, at most
LINGER_SHARE = 8  # of the descriptors that a process may have one in so many is for those
CROWD = 0.5  # seconds that a drain takes whoever comes; after them only those who have come
STUMBLES = 100  # turns that may fail one after the other; a loop that cannot do one any more has to be replaced


def may_linger() -> int:
    """Connections that may linger in this process at once, of which each takes a descriptor."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return LINGERING if allowed == resource.RLIM_INFINITY else min(LINGERING, max(allowed // LINGER_SHARE, 1))


class Loop:
    """Waits, hands events to handlers, sweeps timeouts, drains. ``shared`` when several threads run it. ``timeouts``:
    those of its clients, where it has any."""

    timeouts: Any = None

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
        self.now = self.before = monotonic()  # when the last wait ended, and the one before it
        self._next_look = 0.0  # when to sweep, or at once when a listener that is paused can go on
        self._next_sweep = 0.0
        self._pause = SWEEP
        self._crowded = inf  # when those who wait at a listener are enough: in a drain, a while after its beginning
        self._last_call = inf  # when the time of every client is over: that to drain nearly is
        self._paused: list[Source] = []
        self._stumbles = 0
        self._registry = Lock()  # held while a handler is armed, and while one is taken out
        self.lingering = 0
        self.may_linger = may_linger()
        # A thread that waits must notice that the others have finished; closing its end of this pipe is how it does.
        self._over, self._not_over = os.pipe()
        self.poller.register(self._over, IN)
        # epoll forgets a closed socket by itself; the fallback has to be told
        self._explicit = isinstance(self.poller, SelectorsPoller)
        self.sources.add(lifeline)
        self.add(Lifeline(self, lifeline))
        forked.register(self)

    def descriptors(self) -> set[int]:
        """All that belong to this loop."""
        held = {self._over, self._not_over, *self.handlers} | own_descriptors(self.poller)
        more = [each for each in list(self.handlers.values()) if isinstance(each, forked.Holder)]
        return held.union(*(each.descriptors() for each in more))

    # registrations

    def add(self, handler: Handler) -> None:
        """From now on this handler gets the events of its descriptor."""
        self.handlers[handler.fd] = handler
        handler.watched = True
        once = self.edge if handler.delivery is Delivery.EDGE else self.once
        self.poller.register(handler.fd, handler.mask | once)

    def modify(self, handler: Handler, mask: int) -> None:
        """The handler waits for something else than before."""
        handler.mask = mask
        if self.handlers.get(handler.fd) is handler:  # else it was closed, and the number may be another's
            with contextlib.suppress(FileNotFoundError):  # a newcomer's first bytes are read before it is registered
                self.poller.modify(handler.fd, mask | self.edge)

    def rearm(self, handler: Handler) -> None:
        """In a shared loop: the thread that got this handler's event is ready for the next one. Another thread may have
        dropped the handler meanwhile, when the loop drains or the handler has waited too long."""
        with self._registry:
            if self.handlers.get(handler.fd) is handler:
                with contextlib.suppress(FileNotFoundError):
                    self.poller.modify(handler.fd, handler.mask | ONCE)

    def wake(self, handler: Handler) -> None:
        """Give a connection an event: its descriptor is idle, and so writable. In a shared loop another thread may not
        have registered it yet; that one sees by itself that the loop drains."""
        if self.handlers.get(handler.fd) is handler:
            with contextlib.suppress(FileNotFoundError):
                self.poller.modify(handler.fd, IN | OUT | self.edge)

    def remove(self, handler: Handler) -> bool:
        """No more events for this handler; it still has its descriptor. False when another thread was first."""
        with self._registry:
            here = self.handlers.get(handler.fd) is handler
            if here:
                del self.handlers[handler.fd]
                with contextlib.suppress(FileNotFoundError):  # as above
                    self.poller.unregister(handler.fd)
                self.sources.discard(handler.fd)
        if self._paused:
            self._next_look = 0.0  # its descriptor is about to be free
        return here

    def mute(self, handler: Handler) -> None:
        """No more events for this handler, which the loop still has: a drain waits for it."""
        handler.mask = 0
        if self.handlers.get(handler.fd) is handler:
            with contextlib.suppress(FileNotFoundError):  # as above
                self.poller.unregister(handler.fd)

    def closing(self, handler: Handler) -> None:
        """The handler is about to close its descriptor. The poller is told, for epoll forgets a descriptor only with
        its last copy, and a process that the app has started may have one."""
        with self._registry:
            if self.handlers.pop(handler.fd, None) is not None and handler.watched:
                with contextlib.suppress(FileNotFoundError):  # as above
                    self.poller.unregister(handler.fd)
        if self._paused:
            self._next_look = 0.0  # its descriptor is about to be free

    def listen(self, listener: Source, *, contended: bool = False) -> None:
        """Take what comes to this listener, until the end of a drain. ``contended``: other loops wait for it too."""
        self.listening[listener.fd] = listener
        self.sources.add(listener.fd)
        if contended:
            self.contend(listener)
        self.add(listener)

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
        while not self.finished:
            try:
                self._turns(service)
            except BaseException as error:  # noqa: BLE001  # an app's signal handler, for instance, may raise anywhere
                self.stumble(error)

    def stumble(self, error: BaseException) -> None:
        """A turn failed, outside of any handler: go on. Raises the error when turns do nothing but fail."""
        forked.leave()
        self._stumbles += 1
        if self._stumbles > STUMBLES:
            raise error
        log.error("a turn of the loop failed; the loop goes on", exc_info=error)
        if self.shared:
            for handler in list(self.handlers.values()):
                self._again(handler)

    def _again(self, handler: Handler) -> None:
        """Have the poller tell anew of a handler whose event may have been lost: of one event, or of an edge."""
        with self._registry:
            if self.handlers.get(handler.fd) is handler and handler.mask:
                with contextlib.suppress(FileNotFoundError):
                    self.poller.modify(
                        handler.fd, handler.mask | (self.edge if handler.delivery is Delivery.EDGE else ONCE)
                    )

    def _turns(self, service: Any) -> None:
        poll, handlers, shared, explicit = self.poller.poll, self.handlers, self.shared, self._explicit
        count = 1 if shared else 256
        one_shot, edge = Delivery.ONE_SHOT, Delivery.EDGE
        while not self.finished:
            events = poll(self._patience(), count)
            self.before = self.now
            self.now = now = monotonic()
            self.before_events()
            for fd, event in events:
                handler = handlers.get(fd)
                if handler is None:
                    continue
                try:
                    handler.on_event(event, service)
                except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
                    self.fail(handler, service, error)
                if shared and (handler.delivery is one_shot or (explicit and handler.delivery is edge)):
                    self.rearm(handler)
            if now >= self._next_look:
                self._look_after(now, service)
            if self.ending:
                self._drained(not events, service)
            self._stumbles = 0

    def deliver(self, handler: Handler, event: int, service: Any) -> None:
        """Give a handler an event that did not come from the poller."""
        try:
            handler.on_event(event, service)
        except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
            self.fail(handler, service, error)

    def fail(self, handler: Handler, service: Any, error: BaseException) -> None:
        """A handler raised: log it, count it, and end what the handler stands for."""
        forked.leave()
        log.error("%s failed, and is closed: %r", handler, error, exc_info=error)
        if service is not None:
            service.row[FAILED] += 1
        try:
            handler.abort(service)
        except BaseException:
            log.exception("%s could not be closed as it should be", handler)
            if self.remove(handler):
                with contextlib.suppress(OSError):  # which may be why it failed
                    close(handler.fd)

    def before_events(self) -> None:
        """After each wait, before any handler is called."""

    def _patience(self) -> float | None:
        if self.draining and self.listening and not self._paused:
            return 0
        return self._pause if self._paused or len(self.handlers) > len(self.sources) else None

    def _look_after(self, now: float, service: Any) -> None:
        """Sweep when it is time, and take newcomers again where a descriptor is free."""
        if now >= self._next_sweep:
            self._next_sweep = now + self._pause
            self._sweep(now, service)
        self._next_look = self._next_sweep
        with self._registry:
            paused, self._paused = self._paused, []
        for listening in paused:
            self.add(listening)

    def _sweep(self, now: float, service: Any) -> None:
        if now >= self._last_call:
            now = inf  # so that each of them has waited for too long, whatever for
        for handler in list(self.handlers.values()):
            try:
                handler.expire(now, service)
            except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
                self.fail(handler, service, error)

    def pause(self, listening: Source) -> None:
        """Take nobody from this listener until a descriptor is free again, or the next sweep."""
        with self._registry:
            if self.handlers.pop(listening.fd, None) is not None:
                self.poller.unregister(listening.fd)
                self._paused.append(listening)

    def fail_newcomer(self, fd: int, service: Any, error: BaseException) -> None:
        """A new connection could not be served because something raised: end it."""
        handler = self.handlers.get(fd)
        if handler is not None:
            self.fail(handler, service, error)
            return
        forked.leave()
        log.error("a new connection failed, and is closed: %r", error, exc_info=error)
        self.drop(fd, service)

    def drop(self, fd: int, service: Any, words: bytes = b"") -> None:
        """A connection that ended before it was served. ``words``: what it is told."""
        if words:
            self.turn_away(fd, words)
        else:
            close(fd)

    def turn_away(self, fd: int, words: bytes) -> None:
        """Tell a client why it is not served, let it read that, close.

        Closing with unread bytes resets the connection, and the reset can overtake the words (RFC 9112, 9.6): so they
        are sent, our direction is closed, and what still comes is read and thrown away for a moment.
        """
        sock = Socket(fileno=fd)
        try:
            sock.setblocking(False)  # the app may have chosen another default
            if words:
                sock.send(words, DONTWAIT)
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
        if self.lingering >= self.may_linger:
            sock.close()
        else:
            self.add(Lingering(self, sock))

    # the end

    def drain(self, service: Any) -> None:
        """The lifeline ended: take what has come, finish what is in hand, leave."""
        if self.draining:
            return
        for listening in list(self.listening.values()):
            # Of those who share a listener only one was woken for a connection: ask the kernel anew what waits there.
            self.remove(listening)
            if listening.kept_outside:  # who waits there is served by whoever its owner starts next
                del self.listening[listening.fd]
                continue
            self.sources.add(listening.fd)
            self.add(listening)
        self._paused.clear()
        self._crowded = monotonic() + CROWD
        if self.timeouts is not None:
            self._last_call = monotonic() + cancels_after(self.timeouts.drain)
            self._pause = min(SWEEP, self.timeouts.drain / 20)
        self.draining = self.ending = True  # not before: another thread may drop a listener as soon as it sees this
        for handler in list(self.handlers.values()):
            try:
                handler.drain(service)
            except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
                self.fail(handler, service, error)

    def abandon(self) -> None:
        """Nobody is left on the other side: mold and workers are dead, and what is in hand will never come back."""
        log.error("all workers and the mold are gone: leaving")
        self._finish()

    def _finish(self) -> None:
        if not self.finished:
            self.finished = True
            over, self._not_over = self._not_over, -1
            close(over)  # the end of file wakes every thread that still waits

    def _drained(self, quiet: bool, service: Any) -> None:
        if self.now > self._crowded:  # or there would be no end to those who come
            self._crowded = inf
            for listening in list(self.listening.values()):
                listening.deafen()
        if quiet and not self._paused:
            for listening in list(self.listening.values()):
                if not listening.look(service) and listening not in self._paused:
                    self.listening.pop(listening.fd, None)
                    self.remove(listening)
        if not self.handlers:
            self._finish()
