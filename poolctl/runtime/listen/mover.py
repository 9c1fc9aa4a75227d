"""What a loop asks of the connections that it moves to another process, or tells of a stop.

A loop has handlers of every kind, so it looks which of them have these methods.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from poolctl.runtime.task import Peer


class Mover(Protocol):
    """The channel by which connections leave for other processes (``moves.Moves``)."""

    @property
    def open(self) -> bool:
        """Whether another process takes them."""

    def send(self, fd: int, protocol: str, peer: Peer) -> bool:
        """Pass a connection on. Returns False if the channel is full."""


@runtime_checkable
class Movable(Protocol):
    """A handler that can move to another process."""

    def move(self, moves: Mover, service: Any) -> None:
        """Pass the connection on if it is idle; unless the channel is full, the handler leaves its loop."""


@runtime_checkable
class Warned(Protocol):
    """A handler that can tell its client that the server will stop."""

    def notice(self, service: Any) -> None:
        """End after the next response, which says so."""

    def withdraw_notice(self, service: Any) -> None:
        """The server goes on: do not end, unless a response has said so."""
