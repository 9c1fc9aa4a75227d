"""Which connection serves an asynchronous app: the app says what it is, and this chooses."""

from __future__ import annotations

from collections.abc import Callable

from poolctl.runtime.app import AsyncApp, ExchangeApp
from poolctl.runtime.serving.connection_loop import NewConnection
from poolctl.runtime.serving_async.connection import AsyncConnection
from poolctl.runtime.serving_async.message_connection import MessageConnection
from poolctl.runtime.serving_async.stream_connection import StreamConnection
from poolctl.runtime.serving_async.task_connection import TaskConnection


def connection_of(app: AsyncApp) -> NewConnection:
    """What makes an app's connections."""
    kind: Callable[..., TaskConnection] = StreamConnection if app.owns_connection else MessageConnection
    if isinstance(app, ExchangeApp):
        kind = AsyncConnection
    return lambda loop, fd, peer, service, door: kind(loop, fd, door.streaming(peer), service)
