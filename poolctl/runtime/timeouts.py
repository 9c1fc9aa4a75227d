"""How long clients, the app and a drain may take: the key ``timeouts`` of a topology.

All loops of a process have the same object and read it when they look, so a reload that changes a value changes it
here, once for the whole process, and no request pays for that. A wait that is under way does not get shorter: otherwise
clients that were entitled to their time a moment ago would all lose their connections at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from math import inf
from time import monotonic
from typing import Final

# Times before a change, each with its values. One more is merged into the oldest, whose values are the longest, so that
# no wait gets shorter however many changes follow.
REMEMBERED_CHANGES: Final = 4


@dataclass(kw_only=True)
class Timeouts:
    """In seconds. ``head``: from the first byte of a request to the end of its head; for a new connection, until its
    first byte. ``idle``: between two requests, and between two pieces of a body. ``body``: for a whole body, plus one
    second for each ``body_rate`` bytes of it; a rate of 0 sets no limit. ``write``: while the client takes no byte.
    ``request``: for the app to answer one request; None sets no limit. ``drain``: from the stop to the end of the
    process. ``stream``: within a drain, for what has begun to be sent; None sets no limit but ``drain``. ``changed``:
    when they were last changed, on the monotonic clock."""

    head: float = 10.0
    idle: float = 60.0
    write: float = 30.0
    body: float = 20.0
    body_rate: int = 500
    request: float | None = None
    drain: float = 30.0
    stream: float | None = None
    changed: float = field(default=-inf, init=False, compare=False)
    _earlier: list[Timeouts] = field(default_factory=list, init=False, repr=False, compare=False)  # the newest first

    def take(self, new: Timeouts) -> None:
        """Take the values of another object, one after the other: another thread may read them meanwhile."""
        if new == self:
            return
        before = replace(self)
        before._changed_at(self.changed)
        earlier = [new._longer(each) for each in [before, *self._earlier]]
        self._earlier = [*earlier[: REMEMBERED_CHANGES - 1], *earlier[REMEMBERED_CHANGES - 1 :][-1:]]
        self._changed_at(monotonic())
        for each in fields(self):
            if each.init:
                setattr(self, each.name, getattr(new, each.name))

    def at(self, moment: float) -> Timeouts:
        """Return the values for a wait that began at this moment of the monotonic clock: the longest that have held
        since."""
        found = self
        for each in self._earlier:
            if moment >= found.changed:
                break
            found = each
        return found

    def _changed_at(self, moment: float) -> None:
        self.changed = moment

    def _longer(self, earlier: Timeouts) -> Timeouts:
        """Return these values, with the longer ones of an earlier object, and its time."""
        requests = None if None in (self.request, earlier.request) else max(self.request or 0, earlier.request or 0)
        found = replace(
            self,
            head=max(self.head, earlier.head),
            idle=max(self.idle, earlier.idle),
            write=max(self.write, earlier.write),
            request=requests,
        )
        found._changed_at(earlier.changed)
        return found

    def request_limit(self) -> float:
        """Return the seconds that a request may take which begins now; infinite without a limit."""
        return inf if self.request is None else self.request
