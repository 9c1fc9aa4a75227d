"""What an ASGI application's call asks of its connection, whoever has that: the worker, a front that lent it, or one
stream of HTTP/2. Called in the event loop of the app."""

from __future__ import annotations

from typing import Any, Protocol

from poolctl.runtime.app.awaited import Exchange
from poolctl.runtime.protocol.http.inflow import Inflow
from poolctl.runtime.protocol.output import Output, Presence


class Speaking(Protocol):
    """The conversation, as far as it matters here."""

    failure: int  # 0, or why it is over


class Leaving(Protocol):
    """The way to the end of the process."""

    def tells(self, *, streams: bool) -> bool:
        """Whether the calling task gets its notice now. ``streams``: it sends a response whose end is unknown."""


class Startup(Protocol):
    """The start of the application in this event loop."""

    state: dict[str, Any]


class AsgiLoop(Protocol):
    """The event loop, and what surrounds the application in it."""

    @property
    def lifespan(self) -> Startup:
        """How it started."""

    @property
    def stopping(self) -> Leaving:
        """Where it stands between the stop and the end."""


class AsgiOutput(Output, Protocol):
    """A connection, or one stream of it."""

    @property
    def loop(self) -> AsgiLoop:
        """Where it is served."""

    @property
    def conversation(self) -> Speaking:
        """What is spoken."""

    @property
    def presence(self) -> Presence:
        """Whether the client is still there."""

    @property
    def outbound(self) -> object:
        """Not None while the client has to take something first."""

    async def body(self, inflow: Inflow) -> bytes | None:
        """The next bytes of the body, empty at its end; None when they never will come."""

    async def news(self) -> None:
        """Until the client sends no more or has left, the response is complete, or the server stops; perhaps before."""

    async def until_drained(self) -> None:
        """Until the client has taken what was sent. Raises ClientGone."""

    def complete(self, exchange: Exchange) -> None:
        """The response is complete, though the app may have more to do."""


class WebSocketOutput(Output, Protocol):
    """A connection that has become a WebSocket."""

    @property
    def loop(self) -> AsgiLoop:
        """Where it is served."""

    @property
    def gone(self) -> bool:
        """Whether the client has left."""

    @property
    def outbound(self) -> object:
        """Not None while the client has to take something first."""

    async def message(self) -> str | bytes | None:
        """The next message; None when there will be none."""

    async def until_drained(self) -> None:
        """Until the client has taken what was sent. Raises ClientGone, also when it wants no more."""

    def flush(self) -> None:
        """Send the frames that wait. Raises ClientGone."""

    def part(self) -> None:
        """Close it, if the server leaves."""

    def refuse_handshake(self, status: int) -> None:
        """Answer the handshake with an error. Raises ClientGone."""

    def client_left(self) -> None:
        """The client has left."""
