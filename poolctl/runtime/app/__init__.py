"""Apps: what answers a request."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from poolctl.runtime.interface import INTERFACE
from poolctl.runtime.protocol.output import Output
from poolctl.runtime.task import Peer

if TYPE_CHECKING:
    import socket
    from asyncio import AbstractEventLoop  # slow to import

    from poolctl.runtime.app.asgi.output import AsgiOutput, WebSocketOutput
    from poolctl.runtime.app.awaited import AppLife, Exchange, WebSocketCall
    from poolctl.runtime.protocol.http.request import HttpRequest
    from poolctl.runtime.protocol.websocket.conversation import WebSocketConversation  # wsproto need not be there


@dataclass(frozen=True)
class Surroundings:
    """What an app is told about the server it runs in."""

    multithread: bool  # may the same process call the app from several threads at once?
    multiprocess: bool  # do other processes serve the same app?
    private: tuple[str, ...] = ()  # absolute paths of files that must not be published, such as the topology's own
    is_topology: Callable[[bytes], bool] | None = None  # whether a file with this text must not be published either


class App(ABC):
    """A part that answers requests of the protocol it names.

    1. Made from its options, in the supervisor; a plugin's in the mold.
    2. Provisioned: ``load`` gets all there is for it and imports the user's code, once in each worker process; with
       ``preload`` once in the mold, for all of them.
    3. Used: ``serve`` for each request, by the worker threads, several at once under a pool with threads. Apps of other
       kinds have other calls: see ``AsyncApp``, ``ExchangeApp``, ``ConnectionApp``.
    4. Cleaned up: an async app by the shutdown of its ``life``; any app by what it registers with atexit, which runs in
       the process that has imported it.
    """

    interface: ClassVar[int] = INTERFACE  # the version that it was written for
    protocol: ClassVar[str]  # the word of the protocol it speaks
    owns_connection: ClassVar[bool] = False  # True: see ConnectionApp
    asynchronous: ClassVar[bool] = False  # True: see AsyncApp
    lendable: ClassVar[bool] = True  # does it answer a request that comes whole, on a connection that is lent to it?
    concurrency: int = 1  # requests that one thread has in hand at once, where they are lent to it

    @abstractmethod
    def load(self, surroundings: Surroundings) -> None:
        """Import the user's code. Called once in a process before the first serve.

        Raises AppError with a clear message where the target is missing or of the wrong shape; an exception of the
        user's own code passes through as it is.
        """

    @abstractmethod
    def serve(self, request: Any, out: Output) -> bool:
        """Answer one request; True when the connection may be kept for the next one.

        Whatever the user's code raises passes through: the loop has the error boundary, and answers 500 when nothing
        has been sent.
        """


class AsyncApp(App):
    """An app that is awaited: a worker has many of its requests in hand."""

    asynchronous: ClassVar[bool] = True
    lendable: ClassVar[bool] = False

    @abstractmethod
    def life(self, events: AbstractEventLoop) -> AppLife:
        """What starts the app in an event loop and ends it; called once for each event loop."""


class ExchangeApp(AsyncApp):
    """An app that is awaited for each request of HTTP."""

    lendable: ClassVar[bool] = True

    @abstractmethod
    def exchange(self, request: HttpRequest, connection: AsgiOutput) -> Exchange:
        """What answers one request: ``call`` is awaited, then ``conclude`` says whether the connection may be kept.

        As soon as the answer is complete it calls ``complete`` of the
        connection, which is done with it then, whatever the user's code still does; from there on ``ended`` is true,
        and ``keep`` whether the connection may be kept.
        """

    def websocket(self, conversation: WebSocketConversation, connection: WebSocketOutput) -> WebSocketCall:
        """What talks through one WebSocket: ``call`` is awaited, then ``conclude`` or, if that raised,
        ``failed`` is called.

        Raises TypeError where the app has no use for one.
        """
        raise TypeError(f"{type(self).__name__} serves no WebSockets")


class ConnectionApp(App):
    """An app that owns the connection until it returns."""

    owns_connection: ClassVar[bool] = True
    greets: bool = False  # is it called before the client's first bytes?

    @abstractmethod
    def converse(self, sock: socket.socket, received: bytes, idle: float, write: float, peer: Peer) -> None:
        """Talk with the client over ``sock`` (a socket, non-blocking or not) until the function returns.

        ``received`` came before; ``idle`` and ``write`` are the timeouts in seconds of one wait for the client;
        ``peer``: both ends, as the door knows them. The caller closes the socket.
        """
