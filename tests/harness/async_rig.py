"""A connection in the loop of an awaited app, with a fake poller and an event loop that moves when a test says so.

    rig.client --- a pair of sockets --- the connection --- rig.app

After each event the event loop makes some rounds (``settle``), in which tasks go as far as they can without a timer.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from harness.fake_poller import Events, FakeClock, FakePoller
from harness.jumping_events import JumpingEvents
from harness.phase_rig import PEER, TIMEOUTS, Rig, row
from poolctl.runtime.lifeline import Life
from poolctl.runtime.listen.door import Door
from poolctl.runtime.protocol import Protocol
from poolctl.runtime.scoreboard import DONE, FAILED, REQUESTS, SINCE, TAKEN
from poolctl.runtime.serving.phases import Phase
from poolctl.runtime.serving.service import Service
from poolctl.runtime.serving_async.kinds import connection_of
from poolctl.runtime.serving_async.loop import AsyncConnectionLoop
from poolctl.runtime.serving_async.task_connection import TaskConnection
from poolctl.runtime.timeouts import Timeouts


class PatientPoller(FakePoller):
    """A wait for which nothing is scripted reports nothing: what happens is delivered by the test."""

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> Events:
        if not self.script:
            self.script.append([])
        return super().poll(0, maxevents)


class AsyncRig(Rig):
    """``app``: awaited; ``timeouts``: those of its loop."""

    def __init__(self, app: Any, protocol: Protocol, timeouts: Timeouts = TIMEOUTS) -> None:
        super().__init__()
        self.poller.close()
        self.clock = FakeClock(monotonic())  # connections that wait between two turns look at the real one
        self.poller = PatientPoller(self.clock)
        self.events = JumpingEvents()
        self.app = app
        self.protocol = protocol
        self.loop = AsyncConnectionLoop(
            Life(self.lifeline, timeouts.drain, lambda: None),
            timeouts,
            10,
            app,
            connection_of(app),
            clock=self.clock,
            poller=self.poller,
            events=self.events,
        )
        self.service = Service(app, protocol, row())
        self.loop._service = self.service  # as when it runs
        self.loop.after.row = self.loop.pulse.row = self.service.row
        self.door = Door(protocol)

    def accept(self) -> Any:
        """The loop takes the client."""
        self.loop.accept(self.fd, PEER, self.service, self.door)
        self.settle()
        return self.connection

    @property
    def connection(self) -> Any:  # type: ignore[override]
        """What stands behind the descriptor now: it may have a successor, and at the end it is the last."""
        found = self.loop.handlers.get(self.fd)
        if isinstance(found, TaskConnection):
            self.last = found
        return self.last

    def settle(self) -> None:
        """Whatever can go on without a timer does."""
        self.events.rounds()

    def event(self, mask: int) -> None:
        assert self.connection is not None
        super().event(mask)
        self.settle()

    def sweep(self, seconds: float) -> None:
        """Time passes, and the loop looks at its deadlines."""
        self.clock.now += seconds
        self.events.pass_time(seconds)
        self.loop.now = self.clock.now
        self.loop._sweep(self.clock.now, self.service)
        self.settle()

    def drain(self) -> None:
        """The lifeline ends; idle connections hear of it."""
        self.loop.drain(self.service)
        self.settle()

    def pass_time(self, seconds: float) -> None:
        """Timers that are due by then are called."""
        self.clock.now += seconds
        self.events.pass_time(seconds)
        self.settle()

    def counts(self) -> tuple[int, ...]:
        """(requests, failed), when nothing is in flight."""
        assert self.service.row[SINCE] == 0
        return self.service.row[REQUESTS], self.service.row[FAILED]

    @property
    def over(self) -> bool:
        """Whether the connection is closed, and counted as such."""
        cells = self.service.row
        closed = self.phase is Phase.CLOSED
        assert closed == (cells[TAKEN] == cells[DONE]) == (self.loop.open == 0)
        return closed

    def close(self) -> None:
        connection = self.connection
        for task in [*connection.tasks, *self.loop.after.tasks]:
            task.cancel()
        self.settle()
        if self.phase is not Phase.CLOSED:
            type(connection).abort(connection, self.service)
        self.settle()
        super().close()
        self.events.run_until_complete(self.events.shutdown_asyncgens())
        self.events.close()
