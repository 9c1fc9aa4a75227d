"""How long clients, the app and a drain may take: the key ``timeouts`` of a topology."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """In seconds. ``head``: from the first byte of a request to the end of its head; for a new connection, until its
    first byte. ``idle``: between two requests, and between two pieces of a body. ``body``: for a whole body, plus one
    second for each ``body_rate`` bytes of it; a rate of 0 sets no limit. ``write``: while the client takes no byte.
    ``request``: for the app to answer one request; None sets no limit. ``drain``: from the stop to the end of the
    process. ``stream``: within a drain, for what has begun to be sent; None sets no limit but ``drain``."""

    head: float = 10.0
    idle: float = 60.0
    write: float = 30.0
    body: float = 20.0
    body_rate: int = 500
    request: float | None = None
    drain: float = 30.0
    stream: float | None = None
