"""Which class of connection serves an async app."""

from __future__ import annotations

from poolctl.runtime.app import AsyncApp, ExchangeApp
from poolctl.runtime.listen.door import Door
from poolctl.runtime.protocol.http.streaming import StreamingConversation
from poolctl.runtime.serving.connection_loop import NewConnection
from poolctl.runtime.serving.service import Service
from poolctl.runtime.serving_async.connection import AsyncConnection
from poolctl.runtime.serving_async.loop import AsyncConnectionLoop
from poolctl.runtime.serving_async.message_connection import MessageConnection
from poolctl.runtime.serving_async.stream_connection import StreamConnection
from poolctl.runtime.task import Peer


def connection_of(app: AsyncApp) -> NewConnection[AsyncConnectionLoop]:
    """Return the function that makes an app's connections."""
    if isinstance(app, ExchangeApp):
        return exchange
    kind = StreamConnection if app.owns_connection else MessageConnection
    return lambda loop, fd, peer, service, door: kind(loop, fd, door.streaming(peer), service)


def exchange(loop: AsyncConnectionLoop, fd: int, peer: Peer, service: Service, door: Door) -> AsyncConnection:
    """One that is awaited for each request of HTTP."""
    conversation = door.streaming(peer)
    assert isinstance(conversation, StreamingConversation)  # its protocol is http
    return AsyncConnection(loop, fd, conversation, service)
