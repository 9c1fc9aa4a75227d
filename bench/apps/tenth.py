"""A WSGI and an ASGI application that hold one of eight places for a tenth of a second; the server brings the places of
the WSGI application, its workers."""

import asyncio
import time

SECONDS = 0.1
PLACES = asyncio.Semaphore(8)


def wsgi(environ, start_response):
    time.sleep(SECONDS)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


async def asgi(scope, receive, send):
    async with PLACES:
        await asyncio.sleep(SECONDS)
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})
