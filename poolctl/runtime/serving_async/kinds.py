"""Which connection serves an asynchronous app: the app says what it is, and this chooses."""

from __future__ import annotations

from poolctl.runtime.app import AsyncApp, ExchangeApp
from poolctl.runtime.serving_async.connection import AsyncConnection
from poolctl.runtime.serving_async.logged_connection import LoggedAsyncConnection
from poolctl.runtime.serving_async.loop import NewAsyncConnection
from poolctl.runtime.serving_async.message_connection import MessageConnection
from poolctl.runtime.serving_async.stream_connection import StreamConnection


def connection_of(app: AsyncApp, *, logged: bool) -> NewAsyncConnection:
    """The class of an app's connections. ``logged``: requests have a line in the access log; the rules allow one for
    HTTP only."""
    if isinstance(app, ExchangeApp):
        return LoggedAsyncConnection if logged else AsyncConnection
    return StreamConnection if app.owns_connection else MessageConnection
