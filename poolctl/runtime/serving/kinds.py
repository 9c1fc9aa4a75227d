"""Which connection serves an app that is called: the app says what it is, and this chooses."""

from __future__ import annotations

from poolctl.runtime.app import App, ConnectionApp
from poolctl.runtime.serving.connection import Connection
from poolctl.runtime.serving.connection_loop import NewConnection
from poolctl.runtime.serving.shared_connection import Ceded, Greeted, SharedConnection


def connection_of(app: App, *, shared: bool) -> NewConnection:
    """The class of an app's connections. ``shared``: several threads run their loop."""
    if isinstance(app, ConnectionApp):
        return Greeted if app.greets else Ceded
    return SharedConnection if shared else Connection
