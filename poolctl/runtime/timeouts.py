"""How long clients, the app and the end may take: the key ``timeouts`` of a topology."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timeouts:
    """Seconds. ``head``: from the first byte of a request to its last, a body counted piece by piece; for a new
    connection, to its first byte. ``body``: for a body, and one more for each ``body_rate`` bytes of it; a rate of 0
    asks for none. ``idle``: between requests. ``write``: without a byte taken by the client. ``request``: for the app
    to answer one request; None: any time. ``drain``: from the stop to the end."""

    head: float = 10.0
    idle: float = 60.0
    write: float = 30.0
    drain: float = 30.0
    body: float = 20.0
    body_rate: int = 500
    request: float | None = None
