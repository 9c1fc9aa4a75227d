"""The values of a site that a reload changes while its processes run.

    mold: Settings --fork--> each process: a copy, from which it makes its loops
      take()                   take()        each process changes its own; one that is forked later has the mold's

A front takes them in the thread of its loop (loop/errands.py), other loops read them when they look or get a new limit
at once. A value in ``Timeouts`` counts from the next look at a connection on, since the loops share that object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.loop.errands import Errands, Sourced
from poolctl.runtime.routing.classes import ClassTable
from poolctl.runtime.routing.overload import OverloadLimits
from poolctl.runtime.timeouts import Timeouts


class AdjustableFront(Sourced, Protocol):
    """A front as its settings see it."""

    def take(self, settings: Settings, dispatch: Dispatch | None) -> None:
        """Take the limits as they are now, and another strategy if there is one. Called in the thread of its loop."""


@dataclass(frozen=True, kw_only=True)
class Values:
    """What a reload can change. ``connections``, ``most``, ``waiting``: see ``SiteData``; ``dispatch``: makes the
    strategy of a front that starts, or returns the one that is made, in the thread of the front; None: as before.
    ``overload``: the bound of the front's queue; ``classes``: those of its tasks; None: there is none."""

    timeouts: Timeouts
    connections: int
    most: int
    waiting: int
    dispatch: Callable[[], Dispatch] | None = None
    overload: OverloadLimits | None = None
    classes: ClassTable | None = None


@dataclass(kw_only=True)
class Settings:
    """The values as they are now, in this process."""

    timeouts: Timeouts
    connections: int
    most: int
    waiting: int
    dispatch: Callable[[], Dispatch]
    overload: OverloadLimits | None = None
    classes: ClassTable | None = None
    _followers: list[Callable[[], None]] = field(default_factory=list, repr=False)
    _front: AdjustableFront | None = field(default=None, repr=False)
    _errands: Errands | None = field(default=None, repr=False)

    @property
    def has_front(self) -> bool:
        """Whether a front runs in this process."""
        return self._front is not None

    @property
    def at_once(self) -> int:
        """The most connections of a process that has all of them, such as a front."""
        return min(self.connections, self.most)

    def follow(self, call: Callable[[], None]) -> None:
        """Have this called whenever the values have changed, perhaps in another thread. A process is given no values
        before it is ready, so nothing changes while it makes its loops."""
        self._followers.append(call)

    def serve(self, front: AdjustableFront) -> None:
        """Give this front the values whenever they change. Called where it will run, before it runs."""
        self._errands, self._front = Errands(front), front

    def take(self, new: Values, done: Callable[[], None]) -> None:
        """Take these values. ``done``: called when all of this process has them, by the front if there is one."""
        self.timeouts.take(new.timeouts)
        self.connections, self.most, self.waiting = new.connections, new.most, new.waiting
        self.overload, self.classes = new.overload, new.classes
        if new.dispatch is not None:
            self.dispatch = new.dispatch
        for call in list(self._followers):
            call()
        if self._front is None or self._errands is None:
            done()
            return
        front = self._front

        def take() -> None:
            front.take(self, None if new.dispatch is None else new.dispatch())
            done()

        self._errands.post(take)
