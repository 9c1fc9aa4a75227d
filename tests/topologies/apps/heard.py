"""Apps that say in the header X-Heard what they were asked: method, target and body, the last two in hexadecimal."""

from __future__ import annotations

from typing import Any


def answer(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """As a WSGI application."""
    body = environ["wsgi.input"].read()
    heard = f"{environ['REQUEST_METHOD']} {environ['RAW_URI'].encode('latin-1').hex()} {body.hex()}"
    start_response("200 OK", [("Content-Length", "0"), ("X-Heard", heard), ("X-Host", environ.get("HTTP_HOST", ""))])
    return []


async def answer_async(scope: Any, receive: Any, send: Any) -> None:
    """As an ASGI application; the host of a target in absolute form is in the headers only."""
    if scope["type"] != "http":
        raise NotImplementedError
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    heard = f"{scope['method']} {target.hex()} {body.hex()}".encode()
    host = dict(scope["headers"]).get(b"host", b"")
    headers = [(b"content-length", b"0"), (b"x-heard", heard), (b"x-host", host)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
