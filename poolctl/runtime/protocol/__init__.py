"""Protocols: bytes to requests, and responses to bytes. No I/O of their own, so one serves every ownership model.

The worker's half of a connection is a ``Conversation``: it parses requests completely. The front's half, under
half-sync/half-reactive, is a ``Framer``: it only has to know where a request ends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar
from typing import Protocol as Interface

from poolctl.runtime.interface import INTERFACE
from poolctl.runtime.task import NOBODY, Asked, Peer

if TYPE_CHECKING:
    from poolctl.runtime.protocol.http.forwarded import Forwarded


class Coming(Interface):
    """The body of a request that is coming, as ``limits.body_rate`` looks at it."""

    looked: float  # when it was looked at last; 0: not yet
    waited: float  # seconds that it was waited for

    @property
    def came(self) -> int:
        """Bytes so far."""


class Conversation(Interface):
    """One connection, seen by whoever serves it.

    ``requests``  complete requests, oldest first; who serves them takes them from the left.
    ``reply``     bytes that the protocol itself wants sent at once (100 Continue); who sends them empties it.
    ``failure``   what was wrong with the bytes that came (an HTTP status), 0 while all is well. The requests that were
                  complete before it are still to be answered; then ``Protocol.farewell(failure)`` and the end.
    ``peer``      both ends of the connection, where the protocol tells an app or a log of them.
    """

    requests: deque[Any]
    reply: bytes
    failure: int
    peer: Peer = NOBODY
    scheme: str = "http"  # of the URLs by which clients come
    forgets: ClassVar[bool] = False  # is what was asked for dropped when the client leaves by a reset?
    multiplexed: ClassVar[bool] = False  # are several requests under way at once, each in a stream of its own?
    successor: Conversation | None = None  # what goes on, where the client has begun to speak another protocol

    @abstractmethod
    def receive(self, data: bytes) -> None:
        """Take bytes as they came from the client, split anywhere. Never raises for what a client sent."""

    @abstractmethod
    def ended(self) -> None:
        """The client sends no more. What was begun may become a request (a last line) or be dropped."""

    @property
    @abstractmethod
    def pending(self) -> bool:
        """Whether a part of a request has come, so that the timeout of the head counts, not that of an idle
        connection."""

    @property
    def in_body(self) -> bool:
        """Whether what is pending has its head complete: then each piece of the body counts as a sign of life."""
        return False

    @property
    def stalled(self) -> bool:
        """Whether a response waits for the client, though its socket takes all."""
        return False

    @property
    def coming(self) -> Coming | None:
        """The body that is coming; None where there is none, or where the protocol does not tell."""
        return None

    @property
    def line(self) -> bytes:
        """The first line of the request that is refused, for a log; empty where none was read."""
        return b""

    def last_words(self, refusal: bytes) -> bytes:
        """What to send instead of the protocol's refusal when the connection ends."""
        return refusal


class Framer(Interface):
    """One connection, seen by a front that reads requests and lends them: where does a request end?"""

    reply: bytes
    failure: int
    forgets: ClassVar[bool] = False  # as that of a conversation
    asked: Asked | None = None  # the head of the request that was taken last, where the protocol is ``inspected``

    @abstractmethod
    def receive(self, data: bytes) -> None:
        """Take bytes as they came from the client, split anywhere. Never raises for what a client sent."""

    @abstractmethod
    def take(self) -> bytes | BinaryIO | None:
        """The whole bytes of the oldest complete request, and forget them. None when there is none.

        What is larger than 64 KiB comes as an unnamed temporary file, positioned at its start.
        """

    @abstractmethod
    def ended(self) -> None:
        """The client sends no more."""

    @property
    def over(self) -> bool:
        """Whether the client has said that what has come is its last request."""
        return False

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Whether what has come asks for more than waiting: ``take`` would give a request, or a failure or a reply is
        to be told to the client."""

    @property
    @abstractmethod
    def pending(self) -> bool:
        """Whether a part of a request has come that is not complete yet."""

    @property
    def in_body(self) -> bool:
        """Whether what is pending has its head complete: then each piece of the body counts as a sign of life."""
        return False

    @property
    def coming(self) -> Coming | None:
        """As that of a conversation."""
        return None

    @property
    def line(self) -> bytes:
        """As that of a conversation."""
        return b""

    @property
    def taken(self) -> bytes:
        """The first line of the request that was taken last, for a log; empty where that is not certain any more."""
        return b""


def unseen(status: int, peer: Peer, line: bytes) -> None:
    """The witness where there is no access log."""


@dataclass(frozen=True)
class Provisions:
    """What a protocol gets.

    ``inspected``  whether framers keep the head of each request (``asked``): something looks at it
    ``witness``    is called with status, peer and first line of each request that is refused before an app has it
    ``forwarded``  the trusted proxies of the topology; for http alone
    """

    inspected: bool = False
    witness: Callable[[int, Peer, bytes], None] = unseen
    forwarded: Forwarded | None = None


class Protocol(ABC):
    """One for each address; makes what a connection needs.

    1. Made from its options, in the supervisor; a plugin's in the mold. What options only together can have wrong,
       ``__post_init__`` raises as a ValueError.
    2. Provisioned with all that it gets: ``provision``, once in the mold, before anything is forked.
    3. Used, in every process: ``framer`` for each connection of a front that lends; ``conversation``, or ``streaming``
       for an app that is async, for each connection that a worker serves; ``farewell`` for each client that is refused.
       Several threads may call at once.
    4. Nothing is cleaned up: it ends with its process, and holds no descriptor.
    """

    interface: ClassVar[int] = INTERFACE  # the version that it was written for
    name: ClassVar[str]
    marks_requests: ClassVar[bool]  # does it tell where a request ends?
    inspected: bool = False  # do framers have to keep what was ``asked``? Provisioned
    alpn: tuple[str, ...] = ()  # its names in ALPN (RFC 7301), where a client may choose; the first is preferred
    witness: Callable[[int, Peer, bytes], None] = staticmethod(unseen)  # the access log's; provisioned

    def provision(self, given: Provisions) -> None:
        """Take what the topology and the other parts have for it. One that overrides this calls it too."""
        self.inspected = given.inspected
        self.witness = given.witness

    @abstractmethod
    def conversation(self, peer: Peer) -> Conversation:
        """The worker's half of a new connection."""

    def streaming(self, peer: Peer) -> Conversation:
        """As ``conversation``, for asynchronous apps: another one where requests may be begun before they are whole."""
        return self.conversation(peer)

    @abstractmethod
    def framer(self) -> Framer:
        """The front's half of a new connection."""

    def farewell(self, status: int, peer: Peer, line: bytes = b"") -> bytes:
        """The refusal for a client that never got as far as an app; ``line``: the first of its request, or as much of
        it as came."""
        self.witness(status, peer, line)
        return self.refusal_to(line, status)

    def refusal_to(self, line: bytes, status: int) -> bytes:
        """The refusal of the request with this first line, of which the end, or all, may be missing. Overridden where
        the form of an answer depends on what was asked."""
        return self.refusal(status)

    def refusal_of(self, request: Any, status: int) -> bytes:
        """The refusal of a request that has got as far as an app, and no answer: 500, 504. Overridden likewise."""
        return self.refusal(status)

    @abstractmethod
    def refusal(self, status: int) -> bytes:
        """The complete last words to a client that is turned away: a status such as 400, 408, 413, 500, 502, 503.

        Empty where the protocol has no way to say it.
        """
