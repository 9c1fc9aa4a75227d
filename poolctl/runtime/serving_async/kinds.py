"""Which connection serves an asynchronous app: the app says what it is, and this chooses."""

from __future__ import annotations

from collections.abc import Callable

from poolctl.runtime.app import AsyncApp, ExchangeApp
from poolctl.runtime.serving.connection import Connection
from poolctl.runtime.serving.connection_loop import NewConnection
from poolctl.runtime.serving_async.connection import AsyncConnection
from poolctl.runtime.serving_async.logged_connection import LoggedAsyncConnection
from poolctl.runtime.serving_async.message_connection import MessageConnection
from poolctl.runtime.serving_async.stream_connection import StreamConnection


def connection_of(app: AsyncApp, *, logged: bool) -> NewConnection:
    """What makes an app's connections. ``logged``: requests have a line in the access log; the rules allow one for HTTP
    only."""
    kind: Callable[..., Connection] = StreamConnection if app.owns_connection else MessageConnection
    if isinstance(app, ExchangeApp):
        kind = LoggedAsyncConnection if logged else AsyncConnection
    return lambda loop, fd, peer, service, door: kind(loop, fd, door.streaming(peer), service)
