"""The phases of a client's connection, and the legal transitions between them.

One table serves both holders of a connection: the worker that owns it (``connection.Connection`` and its subclasses),
and the front of half-sync/half-reactive that lends it (``held_connection.HeldConnection``), for which ANSWERING means
that a worker has it. The phase determines which timeout of the client applies
(``client_connection.ClientConnection.expire``).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from poolctl.compiled import compiled


class Phase(Enum):
    """The phase of a connection, with the timeout that applies."""

    NEW = "no request has begun; timeouts.head"
    READING = "part of a request has arrived; timeouts.head, then timeouts.idle between two pieces of its body"
    ANSWERING = "the app has one request or more; no timeout of the client, unless the app waits for it"
    SENDING = "the client has yet to read part of the response; timeouts.write"
    FINISHING = "as SENDING, and the connection closes afterwards; timeouts.write"
    IDLE = "kept open for the next request; timeouts.idle"
    CLOSED = "the end: the descriptor is closed or belongs to another object, and this one may serve another client"


NEW: Final[Phase] = Phase.NEW
READING: Final[Phase] = Phase.READING
ANSWERING: Final[Phase] = Phase.ANSWERING
SENDING: Final[Phase] = Phase.SENDING
FINISHING: Final[Phase] = Phase.FINISHING
IDLE: Final[Phase] = Phase.IDLE
CLOSED: Final[Phase] = Phase.CLOSED

TRANSITIONS: Final[Mapping[Phase, frozenset[Phase]]] = {
    NEW: frozenset((READING, ANSWERING, SENDING, IDLE, CLOSED)),
    READING: frozenset((ANSWERING, SENDING, IDLE, CLOSED)),
    ANSWERING: frozenset((READING, SENDING, FINISHING, IDLE, CLOSED)),
    SENDING: frozenset((ANSWERING, IDLE, CLOSED)),
    FINISHING: frozenset((CLOSED,)),
    IDLE: frozenset((READING, ANSWERING, SENDING, CLOSED)),
    CLOSED: frozenset((NEW,)),
}
WAITS_FOR_REQUEST: Final = frozenset((NEW, READING, IDLE))


class Checked:
    """An attribute ``phase`` that refuses transitions that are not in the table. ``slot``: the descriptor of its value.

    Active in Python's development mode (``python -X dev``) and in the tests; otherwise the slot is written directly, so
    requests pay nothing.
    """

    def __init__(self, slot: Any) -> None:
        self._slot = slot

    def __get__(self, connection: Any, kind: Any = None) -> Any:
        return self if connection is None else self._slot.__get__(connection, kind)

    def __set__(self, connection: Any, phase: Phase) -> None:
        try:
            before = self._slot.__get__(connection, type(connection))
        except AttributeError:  # not set yet
            before = None
        legal = phase is NEW if before is None else phase is before or phase in TRANSITIONS[before]
        if not legal:
            raise AssertionError(f"{type(connection).__name__}: {before} -> {phase}")
        self._slot.__set__(connection, phase)


def check(kind: type) -> None:
    """Make a class of connections, and its subclasses, check each transition against the table. Does nothing to a
    compiled class, whose attributes cannot be replaced."""
    if compiled():
        return
    name = "phase"
    setattr(kind, name, Checked(vars(kind)[name]))
