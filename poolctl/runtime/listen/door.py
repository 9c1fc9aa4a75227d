"""Doors: what the clients of one address pass before they are served.

    listener -- accept --> Door.enter --> [PROXY header] --> [TLS] --> loop.serve --> the connection, in its protocol

A plain door has nothing in front of it. The others do their part, never blocking anybody else, then give the connection
on to the next; each is one file, and a topology without its key knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from poolctl.runtime.protocol import Conversation, Framer
from poolctl.runtime.protocol import Protocol as Spoken
from poolctl.runtime.task import Peer


class Taker(Protocol):
    """A loop that takes connections when they have come through their door."""

    def serve(self, fd: int, peer: Peer, service: Any, door: Door) -> None:
        """A new connection, counted already."""

    def drop(self, fd: int, service: Any, words: bytes = b"") -> None:
        """One that was counted, and ended in its door: close it, after these words."""


class Door:
    """The door of an address that has no other: what is spoken behind it. ``number``: that of the address."""

    scheme = "http"

    def __init__(self, protocol: Spoken, number: int = 0) -> None:
        self.protocol = protocol
        self.number = number
        self.conversation: Callable[[Peer], Conversation] = protocol.conversation
        self.streaming: Callable[[Peer], Any] = protocol.streaming
        self.framer: Callable[[], Framer] = protocol.framer

    def busy(self, peer: Peer) -> bytes:
        """The bytes that a client past the limit on connections gets, before anything of it is read."""
        return self.protocol.farewell(503, peer)

    def enter(self, loop: Any, fd: int, peer: Peer, service: Any) -> None:
        """A client has come: bring it to the loop, now or later."""
        loop.serve(fd, peer, service, self)
