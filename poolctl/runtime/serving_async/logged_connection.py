"""A connection of an asynchronous app that writes a line for each request. Chosen with the service."""

from __future__ import annotations

from time import monotonic_ns
from typing import cast

from poolctl.runtime.access_log.service import LoggedService
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.serving_async.connection import AsyncConnection


class LoggedAsyncConnection(AsyncConnection):
    """Notes what it sends, as the tally of other apps does."""

    __slots__ = ("_began_at", "first", "more")

    def _begin(self, request: HttpRequest) -> None:
        self.first = b""
        self.more = 0
        self._began_at = monotonic_ns()
        super()._begin(request)

    def send(self, data: bytes) -> None:
        """Send it, noted."""
        if self.began:
            self.more += len(data)
        else:
            self.first = data
        super().send(data)

    def send_file(self, file: int, offset: int, count: int) -> None:
        """As above; a head has gone before it."""
        self.more += count
        super().send_file(file, offset, count)

    def _answered(self, keep: bool) -> None:
        if self.began or not self.conversation.failure:  # or else it is turned away, which has a line of its own
            now = monotonic_ns()
            cast(LoggedService, self._service).note(self.request, self, now - self._began_at, now)
        super()._answered(keep)
