"""What a topology allows clients of HTTP, as conversations and framers see it."""

from __future__ import annotations

from typing import Protocol

from poolctl.runtime.protocol.http.head import Recent


class HttpLimits(Protocol):
    """The options of ``Http``, which has them; see there. Bytes, but for ``headers``."""

    head: int
    target: int
    headers: int
    body: int
    spool: int
    websocket_message: int
    websocket_deflate: bool
    recent: Recent  # heads that were read lately, for all connections of a process
