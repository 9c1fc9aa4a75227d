"""Apps that tell how their client came."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

KEYS = (
    "wsgi.url_scheme",
    "HTTPS",
    "SSL_CLIENT_VERIFY",
    "SSL_CLIENT_S_DN",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_PROTOCOL",
)


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    path = environ["PATH_INFO"]
    if path == "/large":
        body = b"0123456789abcdef" * 65536 * int(environ["QUERY_STRING"])
    elif path == "/digest":
        body = hashlib.sha256(environ["wsgi.input"].read()).hexdigest().encode()
    else:
        if path == "/sleep":
            time.sleep(float(environ["QUERY_STRING"]))
        body = json.dumps({key: environ[key] for key in KEYS if key in environ}).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if scope["path"] == "/digest":
        answer = hashlib.sha256(body).hexdigest().encode()
    elif scope["path"] == "/large":
        answer = b"0123456789abcdef" * 65536 * int(scope["query_string"])
    else:
        tls = scope.get("extensions", {}).get("tls", {})
        found = {"wsgi.url_scheme": scope["scheme"], "REMOTE_ADDR": scope["client"][0]}
        if tls.get("client_cert_name"):
            found["SSL_CLIENT_S_DN"] = tls["client_cert_name"]
        answer = json.dumps(found).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "websocket":
        raise NotImplementedError
    assert scope["scheme"] == "wss"
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


def talk(stream: Any) -> None:
    for line in stream:
        stream.write(line.upper())


async def talk_async(stream: Any) -> None:
    while line := await stream.readline():
        await stream.write(line.upper())


def say(line: bytes) -> bytes:
    return line.upper()


async def say_async(line: bytes) -> bytes:
    return line.upper()


frame_frame = say
frame_async = say_async
