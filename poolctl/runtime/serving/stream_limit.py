"""timeouts.stream for sync apps, whose thread cannot be interrupted: between two parts of a response.

    the drain begins --> Life's thread --> StreamLimit.begin
    the app sends a part of its response --> StreamWatch.more --> StreamCut, once the time is over
    the app has returned all the same --> StreamWatch.ends --> StreamCut: what it has sent since then is missing

A worker whose app sends one part after the other never comes back to its loop, so the loop cannot tell it. What waits
for a client after the app has returned is the loop's: ``listen/streams.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import TypeVar

from poolctl.errors import ClientGone
from poolctl.runtime.serving.request_line import printable

log = logging.getLogger("poolctl")
Request = TypeVar("Request")
Out = TypeVar("Out")
Kept = TypeVar("Kept")


def log_cut(what: str, seconds: float) -> None:
    """Log what a drain has ended because it went on for timeouts.stream. ``what``: its request line; ``seconds``: the
    limit."""
    log.warning("%s went on for timeouts.stream (%g s) in a drain: cut off", printable(what), seconds)


class StreamCut(ClientGone):
    """The response has gone on for timeouts.stream in a drain: as far as the app can see, its client has left."""


class StreamLimit:
    """How long the responses of one process may go on in a drain. ``seconds``: from the beginning of the drain, or of a
    response that begins later; ``since``: when the drain began, on the monotonic clock; infinite before."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.since = inf

    def begin(self) -> None:
        """The drain begins; only the first call has an effect. Any thread may call this."""
        if self.since == inf:
            self.since = monotonic()


class StreamWatch:
    """Observes the responses of one thread, and ends one whose time is over. ``cut``: the last one was ended."""

    __slots__ = ("_began", "_limit", "cut")

    def __init__(self, limit: StreamLimit) -> None:
        self._limit = limit
        self._began = 0.0  # when the response began, if that was in the drain
        self.cut = False

    @property
    def seconds(self) -> float:
        """The limit."""
        return self._limit.seconds

    def first(self, data: bytes) -> None:
        """A response begins."""
        self._began = 0.0 if self._limit.since == inf else monotonic()
        self.cut = False

    def more(self, count: int) -> None:
        """Raise StreamCut if the time of the response is over."""
        limit = self._limit
        if limit.since != inf and monotonic() - max(limit.since, self._began) > limit.seconds:
            self.cut = True
            raise StreamCut(f"it went on for timeouts.stream ({limit.seconds:g} s) in a drain")

    def ends(self, serve: Callable[[Request, Out], Kept]) -> Callable[[Request, Out], Kept]:
        """Return what serves as ``serve`` does, and raises StreamCut if the app has swallowed that. Otherwise the
        response would count as complete, and its client would take the next one for the rest of it."""

        def serve_to_the_end(request: Request, out: Out) -> Kept:
            self.cut = False
            kept = serve(request, out)
            if self.cut:
                raise StreamCut("the app went on after that")
            return kept

        return serve_to_the_end
