"""One worker thread's service: the app, its protocol, its row of the scoreboard, and the error boundary of a request.

Every ownership model answers its requests here, so what happens when an app raises is written once.
"""

from __future__ import annotations

import logging
import socket
from contextvars import Context, copy_context
from time import monotonic_ns
from typing import Any

from poolctl.errors import ClientGone
from poolctl.runtime.app import App, ConnectionApp
from poolctl.runtime.protocol import Protocol
from poolctl.runtime.protocol.output import Output
from poolctl.runtime.scoreboard import FAILED, REQUESTS, SECONDS, SINCE
from poolctl.runtime.system import forked
from poolctl.runtime.task import Peer

log = logging.getLogger("poolctl")


class Service:
    """Answers requests, one at a time; belongs to one thread. ``context``: the context variables as the app's start
    left them; each request begins with a copy (PEP 567), so that it finds nothing of another one's."""

    def __init__(self, app: App, protocol: Protocol, row: memoryview, context: Context | None = None) -> None:
        self.app = app
        self.protocol = protocol
        self.row = row
        self._serve = app.serve
        self._context = (context or copy_context()).copy

    def answer(self, request: Any, out: Output) -> bool:
        """Let the app answer; True when the connection can be kept. Never raises for what the app or the client did."""
        row = self.row
        out.began = False
        row[SINCE] = started = monotonic_ns()
        try:
            keep = self._context().run(self._serve, request, out)
        except ClientGone:
            keep = False
        except BaseException:  # whatever the app raised ends its request, not the worker
            forked.leave()
            log.exception("the app raised while answering a request")
            keep = self._failed(request, out)
        row[SECONDS + (monotonic_ns() - started >> 10).bit_length()] += 1
        row[SINCE] = 0
        row[REQUESTS] += 1
        return keep

    def _failed(self, request: Any, out: Output) -> bool:
        """A 500 when nothing was sent; otherwise the connection is cut, so that the client can tell."""
        self.row[FAILED] += 1
        if not out.began:
            try:
                out.send(self.protocol.refusal_of(request, 500))
            except ClientGone:
                log.info("the client left before it could be told")
        return False

    def converse(self, sock: socket.socket, received: bytes, idle: float, write: float, peer: Peer) -> None:
        """Let an app that owns the connection talk until it returns. Never raises for what the app or the client
        did."""
        row = self.row
        assert isinstance(self.app, ConnectionApp)  # the loops ask before they give a connection away
        try:
            self._context().run(self.app.converse, sock, received, idle, write, peer)
        except (ClientGone, TimeoutError) as error:
            log.info("a conversation ended: %s", error)
        except BaseException:  # the app's
            forked.leave()
            row[FAILED] += 1
            log.exception("the app raised while it owned a connection")
        row[REQUESTS] += 1
