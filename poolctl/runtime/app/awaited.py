"""What an async app provides to its worker: startup and shutdown in an event loop, and the call for one request."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from contextvars import Context
from typing import Any, Protocol


class AppLife(Protocol):
    """The start and the end of an app in one event loop.

    ``state``: the lifespan state; each request gets a copy, empty if the app keeps none. ``context``: the context
    variables as the startup left them; each request runs in a copy.
    """

    state: dict[str, Any]
    context: Context

    def startup(self) -> Coroutine[Any, Any, None]:
        """Return when the app has started. Raises AppError, and whatever the user's code raises."""

    def shutdown(self) -> Coroutine[Any, Any, None]:
        """Return when the app has shut down."""


class Exchange(Protocol):
    """One call of the app, and the state of its response. Exceptions of the user's code pass through ``call`` and
    ``conclude``."""

    @property
    def keep(self) -> bool:
        """Whether the connection may be kept; valid once the response is complete."""

    @property
    def ended(self) -> bool:
        """Whether the response is complete."""

    def call(self) -> Awaitable[None]:
        """Call the app."""

    def conclude(self) -> bool:
        """The app has returned. Return whether the connection may be kept. Raises RuntimeError if the response is not
        complete."""


class WebSocketCall(Exchange, Protocol):
    """One call of the app for a WebSocket."""

    def failed(self) -> None:
        """The app raised: close the WebSocket, or refuse its handshake."""
