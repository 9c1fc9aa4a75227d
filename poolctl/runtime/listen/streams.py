"""What streams in a drain, and is ended when timeouts.stream is over: found by looks at the handlers of a loop, so that
it costs nothing before the drain.

    each sweep of a drain --> handler.streams() --> Overdue --> handler.cut_stream(stream), once its time is over
                                                               handler.drop_stream(stream), if its task goes on

What a sync app sends while it has its thread, in which no sweep runs, is bounded by ``serving/stream_limit.py``.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from threading import Lock
from typing import Any, Generic, Protocol, runtime_checkable

from poolctl.runtime.loop.loop import SWEEP_SECONDS
from poolctl.runtime.loop.overdue import Overdue
from poolctl.runtime.loop.source import Handler, S

LEAST_PAUSE_SECONDS = 0.02  # between two looks, however short timeouts.stream is


@runtime_checkable
class Streaming(Protocol):
    """A handler with something that ``timeouts.stream`` ends: a response that has begun and is not complete, a
    WebSocket, a conversation."""

    def streams(self) -> Sequence[Hashable]:
        """Return what stands for each of them, as long as it goes on."""

    def cut_stream(self, stream: Any, service: Any) -> bool:
        """End one of them, log and count it; its app gets a cancellation, or finds its client gone. Returns False if
        that is not possible now: it is tried again."""


@runtime_checkable
class Dropping(Streaming, Protocol):
    """One whose tasks may go on although they were cancelled."""

    def drop_stream(self, stream: Any) -> None:
        """End one without its task, half a second after ``cut_stream``."""


class StreamingLoop(Protocol[S]):
    """What it needs of a loop."""

    handlers: dict[int, Handler[S]]

    def fail(self, handler: Handler[S], service: S, error: BaseException) -> None:
        """A handler raised: log it, count it, and end what the handler stands for."""


class Streams(Generic[S]):
    """Those of one loop, from the beginning of its drain on. ``limit``: seconds, from then or from the beginning of a
    stream that begins later."""

    def __init__(self, limit: float) -> None:
        self.pause = max(min(limit / 20, SWEEP_SECONDS), LEAST_PAUSE_SECONDS)  # seconds between two looks
        self._overdue: Overdue[tuple[Handler[S], Hashable]] = Overdue(lambda: limit, SWEEP_SECONDS)
        self._looks = Lock()  # held by the thread that looks
        self._due = 0.0  # when the next look is: a loop may sweep far more often

    def look(self, loop: StreamingLoop[S], now: float, service: S) -> None:
        """End those whose time is over. ``now``: seconds on the monotonic clock."""
        if now < self._due or not self._looks.acquire(blocking=False):
            return
        self._due = now + self.pause / 2
        try:
            for handler, stream in self._overdue.look({each: each for each in self._found(loop, service)}, now):
                self._cut(loop, handler, stream, service)
            for handler, stream in self._overdue.deaf:
                if isinstance(handler, Dropping):
                    self._drop(loop, handler, stream, service)
        finally:
            self._looks.release()

    def _found(self, loop: StreamingLoop[S], service: S) -> list[tuple[Handler[S], Hashable]]:
        found: list[tuple[Handler[S], Hashable]] = []
        for handler in list(loop.handlers.values()):
            if isinstance(handler, Streaming):
                try:
                    found += [(handler, stream) for stream in handler.streams()]
                except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
                    loop.fail(handler, service, error)
        return found

    def _cut(self, loop: StreamingLoop[S], handler: Any, stream: Hashable, service: S) -> None:
        try:
            if not handler.cut_stream(stream, service):
                self._overdue.again((handler, stream))
        except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
            loop.fail(handler, service, error)

    def _drop(self, loop: StreamingLoop[S], handler: Any, stream: Hashable, service: S) -> None:
        try:
            handler.drop_stream(stream)
        except BaseException as error:  # noqa: BLE001  # the boundary, which logs it
            loop.fail(handler, service, error)
