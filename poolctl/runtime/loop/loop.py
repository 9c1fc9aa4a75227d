"""The loop: one poller, the handlers of its descriptors, their timeouts, and the drain.

    poller -- (fd, events) --> handlers[fd].on_event(events, service)
                               a listener, an inbox, the lifeline, a connection

One turn: wait (at most ``_patience`` seconds), dispatch the events, sweep the timeouts when due, check whether the
drain is over.

An exception of a handler ends that handler only: it is logged and counted, and ``Handler.abort`` releases what the
handler held. A turn that fails outside of any handler is logged, and the loop goes on.

The drain begins at the end of file of the lifeline. The loop accepts until no client is queued (then the supervisor
shuts the listeners), reads its inboxes until their end of file, and closes connections as they become idle. It finishes
with the last of them.

The file is long because turns, the boundary and the end share their state; what the poller waits for is in
registrations.py, clients that are turned away in farewells.py.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable
from math import inf
from os import close
from time import monotonic
from typing import Final

from mypy_extensions import mypyc_attr

from poolctl.runtime.loop.draining import cancels_after
from poolctl.runtime.loop.farewells import Farewells
from poolctl.runtime.loop.registrations import Registrations
from poolctl.runtime.loop.source import Delivery, Handler, Lifeline, S
from poolctl.runtime.system import forked
from poolctl.runtime.system.poller import IN, Poller

log = logging.getLogger("poolctl")
SWEEP_SECONDS: Final = 0.5  # seconds between two looks at the timeouts; none while there is nothing that can time out
EVENTS: Final = 256  # taken from the poller at once; a thread of a shared loop takes one and leaves the rest to others
CROWD_SECONDS: Final = 0.5  # seconds for which a drain accepts new clients; after that only those already queued
MAX_FAILED_TURNS: Final = 100  # turns in a row that may fail; after that the worker is replaced


@mypyc_attr(allow_interpreted_subclasses=True)
class Loop(Registrations[S]):
    """Waits, dispatches events, sweeps timeouts, drains.

    ``lifeline``: a descriptor whose end of file begins the drain. ``drain``: seconds that a drain may take; infinite if
    no client can delay its end. ``shared``: several threads run it. ``loops``: the number of loops of this process that
    have clients, and so share its descriptors. ``clock``: returns monotonic seconds.
    """

    def __init__(
        self,
        lifeline: int,
        drain: float = inf,
        *,
        shared: bool = False,
        loops: int = 1,
        clock: Callable[[], float] = monotonic,
        poller: Poller | None = None,
    ) -> None:
        super().__init__(shared=shared, poller=poller)
        self.farewells = Farewells(self, loops)
        # The steps of the end, each for good: the drain has begun; the loop may finish after any turn; it has finished.
        self.draining = False
        self.ending = False
        self.finished = False
        self.now = self.before = clock()  # when the last wait ended, and the one before it
        self._clock = clock
        self._drain = drain
        self._next_sweep = 0.0
        self._pause = SWEEP_SECONDS
        self._crowded = inf  # when a drain stops accepting new clients
        self._last_call = inf  # when every client has timed out: shortly before the end of the process
        self._stumbles = 0
        # A thread that waits must notice that the others have finished; closing its end of this pipe is how it does.
        self._finish_reader, self._finish_writer = os.pipe()
        self.poller.register(self._finish_reader, IN)
        self.add_source(Lifeline(self, lifeline))
        forked.register(self)

    def descriptors(self) -> set[int]:
        """All that belong to this loop."""
        return super().descriptors() | {self._finish_reader, self._finish_writer}

    # turns

    def run(self, service: S) -> None:
        """Serve until drained. In a shared loop every thread calls this, each with its own service. Raises what a turn
        raised when a hundred of them have failed in a row."""
        while not self.finished:
            try:
                self._turns(service)
            except BaseException as error:  # noqa: BLE001  # an app's signal handler, for instance, may raise anywhere
                self.stumble(error)

    def _turns(self, service: S) -> None:
        poll, handlers, shared, explicit, clock = (
            self.poller.poll,
            self.handlers,
            self.shared,
            self._explicit,
            self._clock,
        )
        count = 1 if shared else EVENTS
        one_shot, edge = Delivery.ONE_SHOT, Delivery.EDGE
        while not self.finished:
            events = poll(self._patience(), count)
            self.before = self.now
            self.now = now = clock()
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
            self.after_events(service)
            if now >= self._next_look:
                self._look_after(now, service)
            if self.ending:
                self._drained(not events, service)
            self._stumbles = 0

    def before_events(self) -> None:
        """After each wait, before any handler is called."""

    def after_events(self, service: S) -> None:
        """After each wait, once the handlers were called."""

    def _patience(self) -> float | None:
        """Seconds to wait for an event at most; None: until there is one."""
        if self.draining and self.listening and not self._paused:
            return 0
        return self._pause if self._paused or len(self.handlers) > len(self.sources) else None

    def _look_after(self, now: float, service: S) -> None:
        """Sweep when it is time; resume listeners that were paused."""
        if now >= self._next_sweep:
            self._next_sweep = now + self._pause
            self._sweep(now, service)
        self._next_look = self._next_sweep
        self._resume()

    def _sweep(self, now: float, service: S) -> None:
        if now >= self._last_call:
            now = inf  # later than any deadline
        for handler in list(self.handlers.values()):
            try:
                handler.expire(now, service)
            except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
                self.fail(handler, service, error)

    # the boundary

    def deliver(self, handler: Handler[S], event: int, service: S) -> None:
        """Give a handler an event that did not come from the poller."""
        try:
            handler.on_event(event, service)
        except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
            self.fail(handler, service, error)

    def fail(self, handler: Handler[S], service: S, error: BaseException) -> None:
        """A handler raised: log it, count it, and end what the handler stands for."""
        self._fault(service, error, f"{handler} failed")
        try:
            handler.abort(service)
        except BaseException:
            log.exception("%s failed again while it was closed", handler)
            if self.remove(handler):
                with contextlib.suppress(OSError):  # which may be why it failed
                    close(handler.fd)

    def fail_newcomer(self, fd: int, service: S, error: BaseException) -> None:
        """A new connection could not be served because something raised: log it, count it, and end it."""
        handler = self.handlers.get(fd)
        if handler is not None:
            self.fail(handler, service, error)
            return
        self._fault(service, error, "cannot serve a new connection; closing it")
        self.drop(fd, service)

    def _fault(self, service: S, error: BaseException, what: str) -> None:
        if service is not None:
            service.fault(error, what)
        else:  # that of a front, which has no row
            forked.leave()
            log.error("%s: %r", what, error, exc_info=error)

    def drop(self, fd: int, service: S, words: bytes = b"") -> None:
        """Close a connection that ended before it was served. ``words``: what its client gets first."""
        if words:
            self.turn_away(fd, words)
        else:
            close(fd)

    def stumble(self, error: BaseException) -> None:
        """A turn failed, outside of any handler: go on. Raises the error when turns do nothing but fail."""
        forked.leave()
        self._stumbles += 1
        if self._stumbles > MAX_FAILED_TURNS:
            raise error
        log.error("a turn of the loop raised %r; the loop goes on", error, exc_info=error)
        if self.shared:
            for handler in list(self.handlers.values()):
                self.renew(handler)

    # clients on their way out

    def turn_away(self, fd: int, words: bytes) -> None:
        """Send a refusal, give the client a moment to read it, then close the connection."""
        self.farewells.turn_away(fd, words)

    def linger(self, sock: socket.socket) -> None:
        """Give a client whose response is complete, and our direction shut, a moment to read it; then close."""
        self.farewells.linger(sock)

    # the end

    def drain(self, service: S) -> None:
        """Drain: accept queued clients, finish requests in flight, exit."""
        if self.draining:
            return
        self._ask_listeners_anew()
        now = self._clock()
        self._crowded = now + CROWD_SECONDS
        self._last_call = now + cancels_after(self._drain)
        self._pause = min(SWEEP_SECONDS, self._drain / 20)
        self.draining = self.ending = True  # not before: another thread may drop a listener as soon as it sees this
        for handler in list(self.handlers.values()):
            try:
                handler.drain(service)
            except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
                self.fail(handler, service, error)

    def _ask_listeners_anew(self) -> None:
        """Of the loops that share a listener only one was woken for a connection: ask the kernel again what waits."""
        for listener in list(self.listening.values()):
            self.remove(listener)
            if listener.kept_outside:  # clients that wait there are served by whatever its owner starts next
                del self.listening[listener.fd]
                continue
            self.add_source(listener)
        self._paused.clear()

    def _drained(self, quiet: bool, service: S) -> None:
        """Called after each turn of a drain: take the next step, and finish with the last. ``quiet``: there was no
        event."""
        if self.now > self._crowded:  # a listener that is never idle would keep the loop for ever
            self._crowded = inf
            for listener in list(self.listening.values()):
                listener.deafen()
        if quiet and not self._paused:
            for listener in list(self.listening.values()):
                if not listener.look(service) and listener not in self._paused:
                    self.listening.pop(listener.fd, None)
                    self.remove(listener)
        if not self.handlers:
            self._finish()

    def abandon(self) -> None:
        """Finish at once: the mold and all workers are dead, so no request in flight will come back."""
        log.error("the mold and all workers are gone; leaving")
        self._finish()

    def _finish(self) -> None:
        if not self.finished:
            self.finished = True
            writer, self._finish_writer = self._finish_writer, -1
            close(writer)  # the end of file wakes every thread that still waits

    def close(self) -> None:
        """Close the loop's own descriptors, after its run; handlers that are left keep theirs."""
        forked.forget(self)
        self.poller.close()
        close(self._finish_reader)
