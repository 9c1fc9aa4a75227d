"""A loop with a fake poller and a fake clock, and handlers that note how they are called."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from harness.fake_poller import Events, Exhausted, FakeClock, FakePoller
from poolctl.runtime.loop.loop import Loop
from poolctl.runtime.loop.source import Delivery, Source
from poolctl.runtime.scoreboard import FAILED, ROW
from poolctl.runtime.system import forked
from poolctl.runtime.system.poller import HUP, IN


class FakeService:
    """A service, as far as a loop knows it."""

    def __init__(self) -> None:
        self.row = memoryview(bytearray(ROW * 8)).cast("q")

    def fault(self, error: BaseException, what: str) -> None:
        """Log and count it, as a service does."""
        forked.leave()
        logging.getLogger("poolctl").error("%s: %r", what, error, exc_info=error)
        self.row[FAILED] += 1


class Noting:
    """A handler that notes its calls. ``does``: what else to do in one of them, by its name."""

    watched = False

    def __init__(self, rig: LoopRig, delivery: Delivery = Delivery.ONE_SHOT) -> None:
        self.rig = rig
        self.delivery = delivery
        self.mask = IN
        self.sock, self.far = socket.socketpair()
        self.fd = self.sock.fileno()
        self.calls: list[Any] = []
        self.does: dict[str, Callable[[], Any]] = {}

    def _note(self, name: str, *more: Any) -> Any:
        self.calls.append((name, *more) if more else name)
        return self.does.get(name, lambda: None)()

    def on_event(self, events: int, service: Any) -> None:
        self._note("event", events)

    def expire(self, now: float, service: Any) -> None:
        self._note("expire", now)

    def drain(self, service: Any) -> None:
        self._note("drain")

    def abort(self, service: Any) -> None:
        self._note("abort")
        self.leave()

    def leave(self) -> None:
        """As a connection that is closed."""
        if self.rig.loop.remove(self):
            self.sock.close()


class NotingListener(Source[Any]):
    """A listener at which ``waiting`` clients wait."""

    def __init__(self, rig: LoopRig) -> None:
        self.rig = rig
        self.sock, self.far = socket.socketpair()
        self.fd = self.sock.fileno()
        self.waiting = 0
        self.calls: list[str] = []

    def on_event(self, events: int, service: Any) -> None:
        self.look(service)

    def look(self, service: Any) -> bool:
        self.calls.append("look")
        if not self.waiting:
            return False
        self.waiting -= 1
        return True

    def deafen(self) -> None:
        self.calls.append("deafen")


class LoopRig:
    """A loop, its lifeline, and what a test puts into it."""

    def __init__(self, drain: float = 30.0, *, shared: bool = False) -> None:
        self.clock = FakeClock()
        self.poller = FakePoller(self.clock)
        self.lifeline, self.mold = os.pipe()
        self.loop: Loop[Any] = Loop(self.lifeline, drain, shared=shared, clock=self.clock, poller=self.poller)
        self.service = FakeService()
        self.socks: list[socket.socket] = []

    def handler(self, delivery: Delivery = Delivery.ONE_SHOT, *, add: bool = True) -> Noting:
        """One with a socket of its own, in the loop unless ``add`` is false."""
        made = Noting(self, delivery)
        self.socks += made.sock, made.far
        if add:
            self.loop.add(made)
        return made

    def listener(self, *, kept_outside: bool = False) -> NotingListener:
        """One that listens in the loop."""
        made = NotingListener(self)
        made.kept_outside = kept_outside
        self.socks += made.sock, made.far
        self.loop.listen(made)
        return made

    def turns(self, *script: Events | Callable[[], Events], service: Any = ...) -> None:
        """So many turns, each with these events."""
        self.poller.script.extend(script)
        with pytest.raises(Exhausted):
            self.loop._turns(self.service if service is ... else service)

    def ends(self) -> Events:
        """The event of the end of the lifeline."""
        return [(self.lifeline, HUP)]

    def run(self, *script: Events | Callable[[], Events]) -> None:
        """Until the loop has finished; fails if it would go on."""
        self.poller.script.extend(script)
        self.loop.run(self.service)
        assert not self.poller.script

    def close(self) -> None:
        """Whatever state the loop is in."""
        self.loop._finish()
        self.loop.close()
        for sock in self.socks:
            sock.close()
        for fd in (self.lifeline, self.mold):
            os.close(fd)


def names(calls: Sequence[Any]) -> list[str]:
    """Of calls that were noted."""
    return [call if isinstance(call, str) else call[0] for call in calls]
