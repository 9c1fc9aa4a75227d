"""Protocols turn bytes into requests and responses into bytes. They do no I/O, so each works with every ownership.

The worker's half of a connection is a ``Conversation``, which parses requests completely. The front's half, under
half-sync/half-reactive, is a ``Framer``, which only needs to find where a request ends. The file is long because it has
all that a protocol can be asked for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, runtime_checkable
from typing import Protocol as Interface

from poolctl.runtime.interface import INTERFACE
from poolctl.runtime.protocol.failure import Failure
from poolctl.runtime.task import NOBODY, Asked, Peer

if TYPE_CHECKING:
    from poolctl.runtime.protocol.http.forwarded import Forwarded


class Coming(Interface):
    """An incomplete request body, as far as ``limits.body_rate`` needs it."""

    looked: float  # when its pace was last checked, on the monotonic clock; 0: never
    waited: float  # seconds that the server has waited for it
    pace: tuple[float, int]  # timeouts.body and body_rate as they were when it was first checked; unset before

    @property
    def came(self) -> int:
        """Bytes received so far."""


@runtime_checkable
class Conversation(Interface):
    """One connection, as the worker that serves it sees it.

    ``requests``  complete requests, oldest first; the connection takes them from the left.
    ``reply``     bytes that the protocol itself needs to send at once (100 Continue); the sender empties it.
    ``failure``   what is wrong with the bytes of the client, if anything. Requests that were complete before are still
                  answered; then the client gets ``Protocol.farewell(failure)``, and the connection ends.
    ``peer``      both ends of the connection, if the protocol passes them to an app or a log.
    """

    requests: deque[Any]
    reply: bytes
    failure: Failure | None
    peer: Peer = NOBODY
    scheme: str = "http"  # of the URLs that clients request
    forgets: ClassVar[bool] = False  # are its waiting requests dropped if the client resets the connection?
    multiplexed: ClassVar[bool] = False  # can several requests be in flight, each in its own stream?
    successor: Conversation | None = None  # takes over once the client has switched to another protocol

    @abstractmethod
    def receive(self, data: bytes) -> None:
        """Parse bytes from the client, split anywhere. Never raises because of what a client sent."""

    @abstractmethod
    def ended(self) -> None:
        """The client has finished sending: an incomplete request becomes complete (a last line) or is dropped."""

    @property
    @abstractmethod
    def pending(self) -> bool:
        """Whether a request is incomplete, so that ``timeouts.head`` applies instead of ``timeouts.idle``."""

    @property
    def in_body(self) -> bool:
        """Whether the head of the pending request is complete; each piece of its body then restarts the timeout."""
        return False

    @property
    def stalled(self) -> bool:
        """Whether a response waits for the client although its socket accepts data."""
        return False

    @property
    def coming(self) -> Coming | None:
        """The incomplete body; None if there is none, or the protocol does not track it."""
        return None

    @property
    def line(self) -> bytes:
        """The first line of the refused request, for the access log; empty if none was read."""
        return b""

    @property
    def taken(self) -> bytes:
        """The first line of the last complete request, for the log; empty if it is not known."""
        return b""

    def last_words(self, refusal: bytes) -> bytes:
        """Return what to send when the connection ends, instead of the protocol's ``refusal``."""
        return refusal

    def unpack(self, packed: bytes) -> None:
        """Take a request that the framer of this protocol has packed, instead of its bytes. Called only if
        ``Protocol.packs``."""
        raise TypeError(f"a {type(self).__name__} reads bytes")

    def renew(self, peer: Peer) -> None:
        """Serve another client of the same door as if this object were new. Called only if ``Protocol.renews``."""
        raise TypeError(f"a {type(self).__name__} serves one client")


@runtime_checkable
class Framer(Interface):
    """One connection, as a front that reads requests and lends them sees it: it finds where each ends."""

    reply: bytes
    failure: Failure | None
    forgets: ClassVar[bool] = False  # see ``Conversation.forgets``
    asked: Asked | None = None  # the head of the request taken last, if the protocol is ``inspected``
    packs: bool = False  # may ``packed`` return something for the request taken last? Read only if ``Protocol.packs``

    @abstractmethod
    def receive(self, data: bytes) -> None:
        """Parse bytes from the client, split anywhere. Never raises because of what a client sent."""

    @abstractmethod
    def take(self) -> bytes | BinaryIO | None:
        """Remove the oldest complete request and return its bytes; None if there is none.

        A request larger than 64 KiB is returned as an unnamed temporary file, positioned at its start.
        """

    def packed(self, request: bytes) -> bytes | None:
        """Return the request that was just taken, and has these bytes, in a form that the worker need not parse
        (``Conversation.unpack``). Its first line is that of the request. None if the bytes serve as well. Called only
        if ``packs``."""
        return None

    @abstractmethod
    def ended(self) -> None:
        """The client has finished sending."""

    @property
    def over(self) -> bool:
        """Whether the client has announced that the requests received so far are its last."""
        return False

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Whether there is something to do: a request to take, or a failure or reply to send to the client."""

    @property
    @abstractmethod
    def pending(self) -> bool:
        """Whether a request is incomplete."""

    @property
    def in_body(self) -> bool:
        """Whether the head of the pending request is complete; each piece of its body then restarts the timeout."""
        return False

    @property
    def coming(self) -> Coming | None:
        """The incomplete body; None if there is none, or the protocol does not track it."""
        return None

    @property
    def line(self) -> bytes:
        """The first line of the refused request, for the access log; empty if none was read."""
        return b""

    @property
    def taken(self) -> bytes:
        """The first line of the request taken last, for the access log; empty if it is no longer known."""
        return b""


def unseen(status: int, peer: Peer, line: bytes) -> None:
    """The ``witness`` of a topology without an access log: does nothing."""


@dataclass(frozen=True)
class Provisions:
    """What a protocol is provisioned with.

    ``inspected``  whether framers keep the head of each request (``asked``), because another part reads it
    ``witness``    called with status, peer and first line of each request that is refused before it reaches the app
    ``forwarded``  the trusted proxies of the topology; used by http only
    """

    inspected: bool = False
    witness: Callable[[int, Peer, bytes], None] = unseen
    forwarded: Forwarded | None = None


class Protocol(ABC):
    """The protocol of one address: makes the conversations and framers of its connections. Its life:

    1. Made from its options, in the supervisor; a plugin's in the mold. ``__post_init__`` raises ValueError if
       options that are valid alone are invalid together.
    2. Provisioned with everything it needs: ``provision``, once, in the mold, before any fork.
    3. Used in every process: ``framer`` for each connection of a front that lends requests; ``conversation``, or
       ``streaming`` for async apps, for each connection that a worker serves; ``farewell`` for each refused client.
       Several threads may call these at once.
    4. Not cleaned up: it ends with its process and holds no descriptors.
    """

    interface: ClassVar[int] = INTERFACE  # the version of the plugin interface that it was written for
    name: ClassVar[str]
    marks_requests: ClassVar[bool]  # can it tell where a request ends?
    # has a connection no state between two requests, so that another process can go on with it?
    portable: ClassVar[bool] = False
    # has the framer ``packed``, which saves the worker to parse a request again?
    packs: bool = False
    # can its conversations serve one client after another (``Conversation.renew``)?
    renews: bool = False
    retry_after = 1  # seconds after which a client that gets a 503 may come again; the front knows better
    inspected: bool = False  # must framers keep the head of each request in ``asked``? Provisioned
    alpn: tuple[str, ...] = ()  # its ALPN names (RFC 7301), if clients can choose it; most preferred first
    witness: Callable[[int, Peer, bytes], None] = staticmethod(unseen)  # logs refused requests; provisioned

    def provision(self, given: Provisions) -> None:
        """Accept what the topology and other parts provide. An override must call this method."""
        self.inspected = given.inspected
        self.witness = given.witness

    @abstractmethod
    def conversation(self, peer: Peer) -> Conversation:
        """Return the worker's half of a new connection."""

    def streaming(self, peer: Peer) -> Conversation:
        """Return the worker's half for async apps; it may offer requests whose body is still incomplete."""
        return self.conversation(peer)

    @abstractmethod
    def framer(self) -> Framer:
        """Return the front's half of a new connection."""

    def farewell(self, status: int, peer: Peer, line: bytes = b"") -> bytes:
        """Report a client whose request never reached an app to the ``witness``, and return its refusal.

        ``line``: the first line of the request, or the part of it that was received.
        """
        self.witness(status, peer, line)
        return self.refusal_to(line, status)

    def dismissal(self, status: int, peer: Peer, line: bytes) -> bytes:
        """As ``farewell``, but the connection goes on after the refusal. Returns nothing, and reports nothing, if that
        is not possible. The request was read to its end."""
        return b""

    def refusal_to(self, line: bytes, status: int) -> bytes:
        """Return the refusal of a request with this first line, which may be incomplete or empty.

        Override it if the form of the response depends on the request.
        """
        return self.refusal(status)

    def refusal_of(self, request: Any, status: int) -> bytes:
        """Return the refusal of a request that an app got but did not answer: 500, 504.

        Override it if the form of the response depends on the request.
        """
        return self.refusal(status)

    @abstractmethod
    def refusal(self, status: int) -> bytes:
        """Return the complete message for a client that is turned away with ``status``: 400, 408, 413, 500, 502, 503.

        Empty if the protocol has no error messages.
        """
