"""Which class of connection serves a sync app."""

from __future__ import annotations

from poolctl.runtime.app import App, ConnectionApp
from poolctl.runtime.serving.connection import Connection
from poolctl.runtime.serving.connection_loop import ConnectionLoop, NewConnection
from poolctl.runtime.serving.shared_connection import Ceded, Greeted, SharedConnection


def connection_of(app: App, *, shared: bool) -> NewConnection[ConnectionLoop]:
    """Return the function that makes an app's connections. ``shared``: several threads run their loop."""
    if isinstance(app, ConnectionApp):
        owned = Greeted if app.greets else Ceded
        return lambda loop, fd, peer, service, door: owned(loop, fd, door.conversation(peer))
    kind = SharedConnection if shared else Connection
    return lambda loop, fd, peer, service, door: kind(loop, fd, door.conversation(peer), loop.spares_of(door))
