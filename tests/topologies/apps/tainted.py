"""A WSGI application that leaves something of its own in everything that it is given, and tells what it finds there."""

from __future__ import annotations

from typing import Any


def answer(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """/taint does both, /look looks."""
    found = []
    source = environ["wsgi.input"]
    if "mine" in environ or environ.get("HTTP_X_ROLE") == "changed":
        found.append("environ")
    if source.closed or hasattr(source, "mine"):
        found.append("wsgi.input")
    if environ["wsgi.errors"].closed:
        found.append("wsgi.errors")
    path = environ["PATH_INFO"]
    if path == "/taint":
        source.read()
        source.mine = "left"
        source.close()
        environ["wsgi.errors"].close()
        environ.clear()
        environ["mine"] = environ["HTTP_X_ROLE"] = "changed"
    body = ", ".join([path, *found]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
