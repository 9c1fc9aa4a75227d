"""The phases of a client's connection, and how it goes from one to the next.

One table for both sides that hold a connection: the worker that owns it (``connection.Connection`` and its kinds), and
the front of half-sync/half-reactive that lends it (``held_connection.HeldConnection``), for which ANSWERING means that
a worker has it. Which timeout counts follows from the phase alone (``client_connection.ClientConnection.expire``).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any


class Phase(Enum):
    """Where a connection stands."""

    NEW = "no request has begun; timeouts.head"
    READING = "a part of a request has come; timeouts.head, then timeouts.idle between two pieces of its body"
    ANSWERING = "the app has a request, or several; the client is not waited for, unless the app does"
    SENDING = "the client has to take bytes first; timeouts.write"
    FINISHING = "the same, and then the connection ends; timeouts.write"
    IDLE = "kept for the next request; timeouts.idle"
    CLOSED = "it is over: its descriptor is closed, or somebody else's"


NEW, READING, ANSWERING, SENDING, FINISHING, IDLE, CLOSED = Phase

TRANSITIONS: Mapping[Phase, frozenset[Phase]] = {
    NEW: frozenset((READING, ANSWERING, SENDING, IDLE, CLOSED)),
    READING: frozenset((ANSWERING, SENDING, IDLE, CLOSED)),
    ANSWERING: frozenset((READING, SENDING, FINISHING, IDLE, CLOSED)),
    SENDING: frozenset((ANSWERING, IDLE, CLOSED)),
    FINISHING: frozenset((CLOSED,)),
    IDLE: frozenset((READING, ANSWERING, SENDING, CLOSED)),
    CLOSED: frozenset(),
}
WAITS_FOR_REQUEST = frozenset((NEW, READING, IDLE))


class Checked:
    """An attribute ``phase`` that refuses what is not in the table. ``slot``: where it is kept.

    Python's development mode (``python -X dev``) and the tests have it; elsewhere the slot is written directly, which
    costs a request nothing.
    """

    def __init__(self, slot: Any) -> None:
        self._slot = slot

    def __get__(self, connection: Any, kind: Any = None) -> Any:
        return self if connection is None else self._slot.__get__(connection, kind)

    def __set__(self, connection: Any, phase: Phase) -> None:
        try:
            before = self._slot.__get__(connection, type(connection))
        except AttributeError:  # its first
            before = None
        legal = phase is NEW if before is None else phase is before or phase in TRANSITIONS[before]
        if not legal:
            raise AssertionError(f"{type(connection).__name__}: {before} -> {phase}")
        self._slot.__set__(connection, phase)


def check(kind: type) -> None:
    """Have this class of connections, and those under it, keep to the table."""
    name = "phase"
    setattr(kind, name, Checked(vars(kind)[name]))
