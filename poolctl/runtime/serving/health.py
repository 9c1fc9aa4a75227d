"""The answer to health checks, the key `health`: given by whoever reads the request, and never by the app.

    half-sync/half-reactive   the front, in place of lending (LendingFront.lend): a check is never queued
    elsewhere                 the worker that owns the connection: HealthService for sync apps, and for async apps
                              HealthApp (serving_async/health.py)

It says whether the server as a whole should get new clients: 200 while it does, 503 from the notice of a stop or drain
on (`timeouts.notice`). A generation or worker that alone drains answers 200: another one has its place. Health checks
are neither counted as requests nor logged.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from poolctl.errors import ClientGone
from poolctl.runtime.buffers.observer import Observer
from poolctl.runtime.listen import server_stop
from poolctl.runtime.protocol.http.encode import server_and_date
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.protocol.output import ReusedOutput
from poolctl.runtime.scoreboard import SINCE
from poolctl.runtime.serving.service import Service

HEALTH_METHODS: Final = ("GET", "HEAD")
HEALTH_RESPONSE: Final = (
    b"HTTP/1.1 %d %b\r\n%bContent-Type: text/plain\r\nContent-Length: %d\r\nCache-Control: no-store\r\n%b\r\n%b"
)


class HealthCheck:
    """Recognises the requests for one path, and answers them. The path is compared byte by byte; a query may follow."""

    def __init__(self, path: str) -> None:
        self._path = path.encode("ascii")
        self._query = self._path + b"?"
        self._beginnings = tuple(
            b"%b %b%b" % (method.encode(), self._path, after) for method in HEALTH_METHODS for after in (b" ", b"?")
        )

    def asked_by(self, request: HttpRequest) -> bool:
        """Return whether a request is a health check."""
        target = request.target
        return (target == self._path or target.startswith(self._query)) and request.method in HEALTH_METHODS

    def asked_in(self, raw: object) -> bool:
        """Return whether the bytes of a complete request are a health check. Other objects are large requests."""
        return isinstance(raw, bytes) and raw.startswith(self._beginnings)

    def response(self, method: str, version: str, *, keep: bool) -> bytes:
        """Return the complete response. ``version``: of the request; ``keep``: the connection goes on."""
        ends = server_stop.expected()
        status, body = (503, b"draining\n") if ends else (200, b"ready\n")
        connection = b"" if keep and version != "1.0" else b"Connection: %b\r\n" % (b"keep-alive" if keep else b"close")
        return HEALTH_RESPONSE % (
            status,
            HTTPStatus(status).phrase.encode(),
            server_and_date(),
            len(body),
            connection,
            b"" if method == "HEAD" else body,
        )

    def raw_response(self, raw: bytes, *, keep: bool) -> bytes:
        """Return the response to the bytes of a health check."""
        method, _, rest = raw.partition(b" ")
        old = rest.partition(b"\r\n")[0].endswith(b"HTTP/1.0")
        return self.response(method.decode(), "1.0" if old else "1.1", keep=keep)


class HealthService(Service):
    """A service whose health checks never reach the app. They are not counted, not timed and not logged."""

    def __init__(self, check: HealthCheck, *args: Any) -> None:
        """``args``: those of a ``Service``."""
        super().__init__(*args)
        self.check = check
        self._began = 0  # when the last request of an async app began
        self._checks: set[int] = set()  # when the health checks in flight began

    def answer(self, request: Any, out: ReusedOutput) -> bool | None:
        """Answer a health check; let the app answer any other request."""
        if not self.check.asked_by(request):
            return super().answer(request, out)
        out.observer = None
        out.began = False
        keep = request.keep_alive and not out.last
        try:
            out.send(self.check.response(request.method, request.version, keep=keep))
        except ClientGone:
            return False
        return keep

    # the steps, for an app that is awaited

    def begin(self) -> int:
        """The app gets a request. Returns the time, in nanoseconds of the monotonic clock."""
        self._began = super().begin()
        return self._began

    def is_check(self) -> None:
        """The request that has begun last is a health check."""
        self._checks.add(self._began)

    def end(self, started: int) -> None:
        """A request is done."""
        if started not in self._checks:
            super().end(started)
            return
        self._checks.discard(started)
        if self.row[SINCE] == started:
            self.row[SINCE] = 0

    def note(self, request: Any, sent: Observer | None, started: int) -> None:
        """Write the line of a request, if there is an access log."""
        if not self.check.asked_by(request):
            super().note(request, sent, started)
