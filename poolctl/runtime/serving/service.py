"""The error boundary around the app, and the only place that counts requests.

    begin --> the app --> (what it raised) --> end: the counts, and the line of the access log

Each thread of a worker has one service. Sync apps go through ``answer``, which has all steps inlined: saves 5 % of a
request (docs/performance.md). Async apps are called by ``serving_async.boundary``, in whose task the steps are
separate. The file is long because it has the steps in both forms.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from contextvars import Context, copy_context
from enum import Enum
from time import monotonic_ns
from typing import Any, Final, NamedTuple
from typing import Protocol as Interface

from mypy_extensions import mypyc_attr

from poolctl.errors import ClientGone, comes_of_leaving
from poolctl.runtime.app import App, ConnectionApp
from poolctl.runtime.buffers.observer import Observer, observers
from poolctl.runtime.protocol import Protocol
from poolctl.runtime.protocol.output import ReusedOutput
from poolctl.runtime.scoreboard import CUT, FAILED, REQUESTS, SECONDS, SINCE
from poolctl.runtime.serving.frames import framed, framed_conversation
from poolctl.runtime.serving.request_line import line_of, shown
from poolctl.runtime.serving.stream_limit import StreamWatch, log_cut
from poolctl.runtime.system import forked
from poolctl.runtime.system.calls import BEGIN, FINISH
from poolctl.runtime.task import Peer

log = logging.getLogger("poolctl")


class Work(NamedTuple):
    """What an app was doing when it raised, for the log."""

    name: str
    doing: str


REQUEST: Final = Work("a request", "while answering a request")
AFTER_RESPONSE: Final = Work("work after a response", "after its response")
CONVERSATION: Final = Work("a conversation", "while it owned a connection")
WEBSOCKET: Final = Work("a WebSocket", "while it had a WebSocket")


class Outcome(Enum):
    """How a request ended whose app raised, and the status to respond with if nothing was sent; 0: no response."""

    LEFT = 0  # the app raised because its client had left
    FAILED = 500
    STOPPED = 503  # cancelled because the time to drain was nearly over
    TOO_LATE = 504  # cancelled because timeouts.request was over


class LogEntries(Interface):
    """What a service needs of the access log."""

    @property
    def observer(self) -> Observer:
        """The observer of the responses that this thread sends one after the other."""

    def observe(self) -> Observer:
        """Return a new observer, for an output whose responses are sent while others are."""

    def note(self, request: Any, sent: Observer | None, took: int, now: int) -> None:
        """Write the line of a request. ``sent``: the observer of its response, None if there was none; ``took`` and
        ``now``: nanoseconds of the monotonic clock."""


class Refusable(Interface):
    """An output, or a wrapper around one."""

    @property
    def began(self) -> bool:
        """Whether a byte of the response was sent."""

    def send(self, data: bytes) -> None:
        """Send ``data``. Raises ClientGone."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Service:
    """The error boundary of one thread of a worker. ``row``: its row of the scoreboard.

    ``context``: the context variables as the app's start left them; each request gets a copy (PEP 567), so that no
    request sees the variables of another. ``entries``: the access log, or None. ``watching``: further observers of the
    responses of a sync app; ``streams``: that of timeouts.stream, or None; ``observer``: all of these in one.
    """

    def __init__(
        self,
        app: App,
        protocol: Protocol,
        row: memoryview,
        context: Context | None = None,
        entries: LogEntries | None = None,
        watching: Sequence[Observer | None] = (),
        streams: StreamWatch | None = None,
    ) -> None:
        self.app = app
        self.protocol = protocol
        self.row = row
        self.entries = entries
        self._streams = streams
        # first: what is not sent is not observed
        self.observer = observers(streams, *watching, None if entries is None else entries.observer)
        serve = app.serving()
        self._serve = framed(serve if streams is None else streams.ends(serve), self)
        self._context = (context or copy_context()).copy

    # an app that is called

    def answer(self, request: Any, out: ReusedOutput) -> bool | None:
        """Let the app answer. Returns whether the connection can be kept; None if the app failed. Never raises because
        of the app or the client."""
        row = self.row
        out.observer = self.observer
        out.began = False
        if BEGIN is not None:
            started = BEGIN(row)
        else:
            row[SINCE] = started = monotonic_ns()
        keep: bool | None
        try:
            keep = self._context().run(self._serve, request, out)
        except ClientGone:
            keep = None if self._was_cut(request, out) else False
        except BaseException as error:  # noqa: BLE001  # an exception of the app ends its request, not the worker
            keep = None
            if self._was_cut(request, out):
                log.info("the app raised %r when its response was cut off", error)
            else:
                outcome = self.raised(error, REQUEST)
                keep = False if outcome is Outcome.LEFT else None
                self.refuse(request, out, outcome.value)
        if FINISH is not None:
            ended = FINISH(row, started)
        else:
            ended = monotonic_ns()
            row[SECONDS + (ended - started >> 10).bit_length()] += 1
            row[SINCE] = 0
            row[REQUESTS] += 1
        if self.entries is not None:
            self.entries.note(request, self.entries.observer if out.began else None, ended - started, ended)
        return keep

    def _was_cut(self, request: Any, out: ReusedOutput) -> bool:
        """Whether the app raised because timeouts.stream was over; if so, log and count it."""
        streams = self._streams
        if streams is None or not (out.began and streams.cut):
            return False
        forked.leave()
        self.cut(line_of(request) if hasattr(request, "target") else shown(request), streams.seconds)
        out.discard()
        return True

    def cut(self, what: str, seconds: float, *, failed: bool = True) -> None:
        """Log and count a response, a WebSocket or a conversation that a drain has ended because it went on for
        timeouts.stream. ``what``: its request line; ``seconds``: the limit; ``failed``: False for a task, which counts
        as failed when it ends."""
        log_cut(what, seconds)
        self.row[CUT] += 1
        self.row[FAILED] += failed

    def converse(self, sock: socket.socket, received: bytes, idle: float, write: float, peer: Peer) -> None:
        """Let an app that owns the connection run until it returns. Never raises because of the app or the client."""
        assert isinstance(self.app, ConnectionApp)  # the loops check before they give a connection away
        try:
            self._context().run(framed_conversation(self.app.converse, self), sock, received, idle, write, peer)
        except (ClientGone, TimeoutError) as error:
            log.info("a conversation ended: %s", error)
        except BaseException as error:  # noqa: BLE001  # raised by the app
            self.raised(error, CONVERSATION)
        self.count()

    # the steps, for an app that is awaited

    def begin(self) -> int:
        """The app gets a request. Returns the time, in nanoseconds of the monotonic clock."""
        row = self.row
        started = monotonic_ns()
        if not row[SINCE]:
            row[SINCE] = started
        return started

    def raised(
        self,
        error: BaseException,
        work: Work,
        *,
        late: bool = False,
        complete: bool = False,
        cancelled: bool = False,
        line: str = "",
    ) -> Outcome:
        """Log and count an exception of the app. Returns what it means for the request.

        ``late``: the app was cancelled because timeouts.request was over, which has been logged. ``complete``: the
        response was complete. ``cancelled``: the error is the cancellation at the end of a drain. ``line``: the
        request line.
        """
        forked.leave()
        if late:
            self.row[FAILED] += 1
            return Outcome.TOO_LATE
        if work is not AFTER_RESPONSE and comes_of_leaving(error):
            log.info("a client left during %s, and the app raised %r", line or work.name, error)
            return Outcome.LEFT
        if cancelled:
            log.warning("%s was cancelled: timeouts.drain is nearly over", line or work.name)
            self.row[FAILED] += not complete
            return Outcome.STOPPED
        log.error("the app raised %s", work.doing, exc_info=error)
        self.row[FAILED] += 1
        return Outcome.FAILED

    def fail(self) -> None:
        """Count a failed request whose app goes on although its time is over, or that never got to the app."""
        self.row[FAILED] += 1

    def fault(self, error: BaseException, what: str) -> None:
        """Log and count an exception that was raised outside of the app: by poolctl, or by a signal handler of the app,
        which may run anywhere. ``what``: what failed, for the log."""
        forked.leave()
        log.error("%s: %r", what, error, exc_info=error)
        self.row[FAILED] += 1

    def refuse(self, request: Any, out: Refusable, status: int) -> bool:
        """Answer with this status instead of the app, unless something was sent. Returns whether it was sent."""
        if out.began or not status:
            return False
        try:
            out.send(self.protocol.refusal_of(request, status))
        except ClientGone:
            log.info("the client left before it got a %d", status)
            return False
        return True

    def end(self, started: int) -> None:
        """A request is done. ``started``: the result of ``begin``."""
        row = self.row
        if FINISH is not None:
            FINISH(row, started)
            return
        row[SECONDS + (monotonic_ns() - started >> 10).bit_length()] += 1
        row[REQUESTS] += 1
        row[SINCE] = 0

    def count(self) -> None:
        """Count a finished conversation; its duration is not recorded."""
        self.row[REQUESTS] += 1

    def note(self, request: Any, sent: Observer | None, started: int) -> None:
        """Write the line of a request, if there is an access log. ``sent``: the observer of its response, None if there
        was none; ``started``: the result of ``begin``."""
        if self.entries is not None:
            now = monotonic_ns()
            self.entries.note(request, sent, now - started, now)
