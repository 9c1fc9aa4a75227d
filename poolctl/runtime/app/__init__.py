"""Apps, the parts that answer requests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from poolctl.runtime.interface import INTERFACE
from poolctl.runtime.protocol.output import Output
from poolctl.runtime.task import Peer

if TYPE_CHECKING:
    import socket
    from asyncio import AbstractEventLoop  # slow to import

    from poolctl.runtime.app.asgi.output import AsgiOutput, WebSocketOutput
    from poolctl.runtime.app.awaited import AppLife, Exchange, WebSocketCall
    from poolctl.runtime.app.refusal_page import RefusalPage  # only in development
    from poolctl.runtime.protocol.http.request import HttpRequest
    from poolctl.runtime.protocol.websocket.conversation import WebSocketConversation  # wsproto is optional

MOST_AT_ONCE: Final = 256  # lent requests, where the front finds out how many are best


def slots_of(concurrency: int | Literal["auto"]) -> int:
    """Return the rows of the scoreboard that this concurrency needs."""
    return MOST_AT_ONCE if concurrency == "auto" else concurrency


@dataclass(frozen=True)
class Surroundings:
    """What an app may know about the server that runs it."""

    multithread: bool  # whether several threads of a process may call the app at once
    multiprocess: bool  # whether other processes serve the same app
    private: tuple[str, ...] = ()  # absolute paths of files that must not be published, such as the topology's own
    is_topology: Callable[[bytes], bool] | None = None  # whether a file with this text is private too
    page: RefusalPage | None = None  # in development: answers browsers while a reload is refused
    warm: tuple[str, ...] = ()  # targets of the requests that a worker answers before it is ready


class App(ABC):
    """A part that answers requests of the protocol it names.

    1. Made from its options, in the supervisor; a plugin's in the mold.
    2. Provisioned: ``load`` gets the surroundings and imports the user's code, once in each worker process; with
       ``preload`` once in the mold, for all workers.
    3. Used: worker threads call ``serve`` for each request, several at once under a pool with threads. Apps of other
       kinds have other calls: see ``AsyncApp``, ``ExchangeApp``, ``ConnectionApp``.
    4. Cleaned up: an async app by the shutdown of its ``life``; any app by the functions that it registers with atexit,
       which run in the process that imported it.
    """

    interface: ClassVar[int] = INTERFACE  # the version of the interface that the app was written for
    protocol: ClassVar[str]  # the word of the protocol that the app speaks
    owns_connection: ClassVar[bool] = False  # True: see ConnectionApp
    asynchronous: ClassVar[bool] = False  # True: see AsyncApp
    lendable: ClassVar[bool] = True  # whether it can answer a complete request that a front lends to it
    concurrency: int | Literal["auto"] = (
        1  # lent requests that one thread may have in flight; auto: the front finds out
    )

    @abstractmethod
    def load(self, surroundings: Surroundings) -> None:
        """Import the user's code. Called once in a process, before the first ``serve``.

        Raises AppError with a clear message if the target is missing or of the wrong kind. Exceptions of the user's
        code pass through unchanged.
        """

    def warm(self) -> None:  # noqa: B027  # most have nothing to warm
        """Answer the warm requests of the surroundings. Called in each worker process after ``load``, before it is
        ready; an async app answers them at the end of its startup instead. Raises AppError if the worker is not ready,
        and whatever the user's code raises."""

    @abstractmethod
    def serve(self, request: Any, out: Output) -> bool:
        """Answer one request. Return whether the connection may be kept for the next one.

        Whatever the user's code raises passes through: the caller is the error boundary, and answers with 500 if
        nothing was sent.
        """

    def serving(self) -> Callable[[Any, Output], bool]:
        """Return what does the same as ``serve``, with as few calls as possible. Called after ``load``, once for each
        thread."""
        return self.serve


class AsyncApp(App):
    """An app that a worker awaits, with many requests in flight at once."""

    asynchronous: ClassVar[bool] = True
    lendable: ClassVar[bool] = False

    @abstractmethod
    def life(self, events: AbstractEventLoop) -> AppLife:
        """Return what starts the app in an event loop and shuts it down. Called once for each event loop."""


class ExchangeApp(AsyncApp):
    """An app that a worker awaits for each HTTP request."""

    lendable: ClassVar[bool] = True

    @abstractmethod
    def exchange(self, request: HttpRequest, connection: AsgiOutput) -> Exchange:
        """Return the exchange for one request. The caller awaits ``call``, then asks ``conclude`` whether the
        connection may be kept.

        As soon as the response is complete the exchange calls ``complete`` of the connection, which is then free for
        the next request, even if the user's code goes on. From then on ``ended`` is true, and ``keep`` says whether the
        connection may be kept.
        """

    def websocket(self, conversation: WebSocketConversation, connection: WebSocketOutput) -> WebSocketCall:
        """Return the call for one WebSocket. The caller awaits ``call``, then calls ``conclude``, or ``failed`` if
        ``call`` raised.

        Raises TypeError if the app does not serve WebSockets.
        """
        raise TypeError(f"{type(self).__name__} does not serve WebSockets")


class ConnectionApp(App):
    """An app that owns the connection until it returns."""

    owns_connection: ClassVar[bool] = True
    greets: bool = False  # whether the app is called before the client's first bytes arrive

    @abstractmethod
    def converse(self, sock: socket.socket, received: bytes, idle: float, write: float, peer: Peer) -> None:
        """Talk to the client over ``sock`` (blocking or not), and return when the conversation is over.

        ``received``: bytes that were read already. ``idle`` and ``write``: seconds that a single read or write may wait
        for the client. ``peer``: both ends of the connection, as the door knows them. The caller closes the socket.
        """
