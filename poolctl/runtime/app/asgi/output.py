"""What the call of an ASGI application needs of its connection: one that the worker owns, one that a front has lent, or
a stream of HTTP/2. All methods are called in the event loop of the app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from poolctl.runtime.app.awaited import Exchange, WebSocketCall
from poolctl.runtime.protocol.failure import Failure
from poolctl.runtime.protocol.http.inflow import Inflow
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.protocol.output import Output, Presence

if TYPE_CHECKING:
    from poolctl.runtime.protocol.websocket.conversation import WebSocketConversation  # wsproto is optional


class Speaking(Protocol):
    """What the call needs of the conversation."""

    failure: Failure | None  # what ended the conversation


class Leaving(Protocol):
    """The phases between a stop signal and the end of the process."""

    def tells(self, *, streams: bool) -> bool:
        """Return whether the calling task is to be notified now. ``streams``: it sends a response of unknown length."""


class Startup(Protocol):
    """The lifespan of the application in this event loop."""

    state: dict[str, Any]


class AsgiLoop(Protocol):
    """The event loop that runs the application."""

    @property
    def lifespan(self) -> Startup:
        """The lifespan of the application."""

    @property
    def stopping(self) -> Leaving:
        """The progress of a stop."""


class AsgiOutput(Output, Protocol):
    """A connection, or one of its streams."""

    @property
    def loop(self) -> AsgiLoop:
        """The loop that serves the connection."""

    @property
    def conversation(self) -> Speaking:
        """The conversation on this connection."""

    @property
    def presence(self) -> Presence:
        """Whether the client is still there."""

    @property
    def outbound(self) -> object:
        """Not None while bytes are waiting for the client to take them."""

    async def body(self, inflow: Inflow) -> bytes | None:
        """Wait for the next bytes of the body. Return b"" at its end, None if the rest will never arrive."""

    async def news(self) -> None:
        """Wait until the client has left or ended its direction, the response is complete, or the server stops. May
        return early."""

    async def until_drained(self) -> None:
        """Wait until the client has taken all bytes. Raises ClientGone."""

    def complete(self, exchange: Exchange) -> None:
        """The response of this exchange is complete, although the app may go on."""


class WebSocketOutput(Output, Protocol):
    """A connection that has become a WebSocket."""

    @property
    def loop(self) -> AsgiLoop:
        """The loop that serves the connection."""

    @property
    def gone(self) -> bool:
        """Whether the client has left."""

    @property
    def outbound(self) -> object:
        """Not None while bytes are waiting for the client to take them."""

    async def message(self) -> str | bytes | None:
        """Wait for the next message. Return None if there will be no more."""

    async def until_drained(self) -> None:
        """Wait until the client has taken all bytes. Raises ClientGone, also if the client closed the WebSocket."""

    def flush(self) -> None:
        """Send the waiting frames. Raises ClientGone."""

    def part(self) -> None:
        """Close the WebSocket if the server is stopping."""

    def refuse_handshake(self, status: int) -> None:
        """Answer the handshake with an error status. Raises ClientGone."""

    def client_left(self) -> None:
        """The client has left."""


class Exchanges(Protocol):
    """What calls the app for connections: an ``ExchangeApp``, or what stands before it."""

    def exchange(self, request: HttpRequest, connection: AsgiOutput) -> Exchange:
        """Return the exchange for one request."""

    def websocket(self, conversation: WebSocketConversation, connection: WebSocketOutput) -> WebSocketCall:
        """Return the call for one WebSocket. Raises TypeError if the app does not serve them."""
