"""Which connection serves an asynchronous app: the app says what it is, and this chooses."""

from __future__ import annotations

from poolctl.runtime.app import AsyncApp, ExchangeApp
from poolctl.runtime.listen.door import Door
from poolctl.runtime.serving.connection_loop import NewConnection
from poolctl.runtime.serving.service import Service
from poolctl.runtime.serving_async.connection import AsyncConnection
from poolctl.runtime.serving_async.loop import AsyncConnectionLoop
from poolctl.runtime.serving_async.message_connection import MessageConnection
from poolctl.runtime.serving_async.stream_connection import StreamConnection
from poolctl.runtime.serving_async.task_connection import TaskConnection
from poolctl.runtime.task import Peer


def connection_of(app: AsyncApp) -> NewConnection:
    """What makes an app's connections."""
    kind: type[StreamConnection | MessageConnection | AsyncConnection] = (
        StreamConnection if app.owns_connection else MessageConnection
    )
    if isinstance(app, ExchangeApp):
        kind = AsyncConnection

    def new(loop: AsyncConnectionLoop, fd: int, peer: Peer, service: Service, door: Door) -> TaskConnection:
        return kind(loop, fd, door.streaming(peer), service)

    return new
