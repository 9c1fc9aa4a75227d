"""The limits of a topology for HTTP clients, as conversations and framers see them."""

from __future__ import annotations

from typing import Protocol

from poolctl.runtime.protocol.http.head import Recent


class HttpLimits(Protocol):
    """The options of ``Http``, which documents them. Numbers are bytes, except ``headers``."""

    head: int
    target: int
    headers: int
    body: int
    spool: int
    websocket_message: int
    websocket_deflate: bool
    recent: Recent  # the last head read, shared by all connections of a process
