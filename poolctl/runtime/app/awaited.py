"""What an app that is awaited gives its worker: its life in an event loop, and the call of one request."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from contextvars import Context
from typing import Any, Protocol


class AppLife(Protocol):
    """The start and the end of an app in one event loop.

    ``state``: what each request gets a copy of, where the app has any. ``context``: what it has started in; each
    request begins from a copy.
    """

    state: dict[str, Any]
    context: Context

    def startup(self) -> Coroutine[Any, Any, None]:
        """Returns when the app has started. Raises AppError, and what the user's code raises."""

    def shutdown(self) -> Coroutine[Any, Any, None]:
        """Returns when the app has ended what it began."""


class Exchange(Protocol):
    """One call of the app, and what it has answered. Exceptions of the user's code pass through ``call`` and
    ``conclude``."""

    @property
    def keep(self) -> bool:
        """Whether the connection may be kept, once the response is complete."""

    @property
    def ended(self) -> bool:
        """Whether the response is complete."""

    def call(self) -> Awaitable[None]:
        """Call the app."""

    def conclude(self) -> bool:
        """The app has returned: whether the connection may be kept. Raises RuntimeError when that is too early."""


class WebSocketCall(Exchange, Protocol):
    """The same for a WebSocket."""

    def failed(self) -> None:
        """The app has raised."""
