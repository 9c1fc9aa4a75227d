"""Requests as the log shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poolctl.runtime.protocol.http.request import HttpRequest

REQUEST_CHARACTERS = 200  # of a request line


def line_of(request: HttpRequest) -> str:
    """Return the request line."""
    return f"{request.method} {request.target.decode('latin-1')} HTTP/{request.version}"


def shown(request: Any) -> str:
    """Return a request as one printable line: method and target of an HTTP request, or the beginning of a message."""
    if hasattr(request, "target"):
        return printable(f"{request.method} {request.target.decode('latin-1')}")
    return f"the message {printable(request.decode('latin-1'))}" if isinstance(request, bytes) else "a request"


def printable(line: str) -> str:
    """Return a line of a client with at most REQUEST_CHARACTERS and no control characters."""
    cut = line[:REQUEST_CHARACTERS].encode("unicode_escape").decode()
    return f"{cut}..." if len(line) > REQUEST_CHARACTERS else cut
