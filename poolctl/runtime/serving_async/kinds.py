"""Which class of connection serves an async app."""

from __future__ import annotations

from poolctl.runtime.app import AsyncApp, ExchangeApp
from poolctl.runtime.app.functions.async_function import MessageApp
from poolctl.runtime.app.functions.async_stream import AsyncStreamApp
from poolctl.runtime.listen.door import Door
from poolctl.runtime.protocol.http.streaming import StreamingConversation
from poolctl.runtime.serving.connection_loop import NewConnection
from poolctl.runtime.serving.health import HealthService
from poolctl.runtime.serving.service import Service
from poolctl.runtime.serving_async.connection import AsyncConnection
from poolctl.runtime.serving_async.health import HealthApp
from poolctl.runtime.serving_async.loop import AsyncConnectionLoop
from poolctl.runtime.serving_async.message_connection import MessageConnection
from poolctl.runtime.serving_async.stream_connection import StreamConnection
from poolctl.runtime.task import Peer


def connection_of(app: AsyncApp, *, checked: bool = False) -> NewConnection[AsyncConnectionLoop]:
    """Return the function that makes an app's connections. ``checked``: they answer health checks, with the services of
    such a server. Raises TypeError for a kind of app that is unknown."""
    if isinstance(app, ExchangeApp):
        return _checked(app) if checked else _exchange(app)
    if isinstance(app, AsyncStreamApp):
        return lambda loop, fd, peer, service, door: StreamConnection(loop, fd, door.streaming(peer), service, app)
    if isinstance(app, MessageApp):
        return lambda loop, fd, peer, service, door: MessageConnection(loop, fd, door.streaming(peer), service, app)
    raise TypeError(
        f"{type(app).__name__} is an async app of no known kind; extend {ExchangeApp.__module__}.ExchangeApp, "
        f"{MessageApp.__module__}.MessageApp or {AsyncStreamApp.__module__}.AsyncStreamApp"
    )


def _exchange(app: ExchangeApp) -> NewConnection[AsyncConnectionLoop]:
    def make(loop: AsyncConnectionLoop, fd: int, peer: Peer, service: Service, door: Door) -> AsyncConnection:
        conversation = door.streaming(peer)
        assert isinstance(conversation, StreamingConversation)  # its protocol is http
        return AsyncConnection(loop, fd, conversation, service, app)

    return make


def _checked(app: ExchangeApp) -> NewConnection[AsyncConnectionLoop]:
    def make(loop: AsyncConnectionLoop, fd: int, peer: Peer, service: Service, door: Door) -> AsyncConnection:
        conversation = door.streaming(peer)
        assert isinstance(conversation, StreamingConversation)
        assert isinstance(service, HealthService)  # the workshop makes no others
        return AsyncConnection(loop, fd, conversation, service, HealthApp(app, service))

    return make
