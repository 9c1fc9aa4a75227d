"""An ASGI application that knows how many of its requests it has in hand."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
from typing import Any

log = logging.getLogger("lent")
barriers: dict[int, asyncio.Barrier] = {}
count = {"now": 0, "most": 0}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    count["now"] += 1
    count["most"] = max(count["most"], count["now"])
    try:
        await PAGES[scope["path"]](scope, receive, send)
    finally:
        count["now"] -= 1


async def lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    scope["state"]["greeting"] = "hello"
    await send({"type": "lifespan.startup.complete"})
    await receive()
    log.warning("the app has ended")
    await send({"type": "lifespan.shutdown.complete"})


async def answer(send: Any, body: bytes, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})


async def about(scope: dict[str, Any], receive: Any, send: Any) -> None:
    told = {"pid": os.getpid(), "most": count["most"], **scope["state"]}
    await answer(send, json.dumps(told).encode())


async def wait(scope: dict[str, Any], receive: Any, send: Any) -> None:
    log.warning("waits")
    await asyncio.sleep(float(scope["query_string"]))
    await answer(send, b"waited")


async def meet(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers when as many are in hand as the query says."""
    count = int(scope["query_string"])
    await barriers.setdefault(count, asyncio.Barrier(count)).wait()
    await answer(send, b"met")


async def digest(scope: dict[str, Any], receive: Any, send: Any) -> None:
    found = hashlib.sha256()
    more = True
    while more:
        message = await receive()
        found.update(message["body"])
        more = message["more_body"]
    await answer(send, found.hexdigest().encode())


async def large(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    pieces = int(scope["query_string"])
    try:
        for number in range(pieces):
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": number < pieces - 1})
    except OSError:
        log.warning("cut off in the middle")


async def gone(scope: dict[str, Any], receive: Any, send: Any) -> None:
    log.warning("waits for the end")
    while (await receive())["type"] != "http.disconnect":
        pass
    log.warning("told of the end")


async def fail(scope: dict[str, Any], receive: Any, send: Any) -> None:
    raise RuntimeError("before")


async def late(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"some", "more_body": True})
    raise RuntimeError("after")


PAGES = {
    "/": about,
    "/wait": wait,
    "/meet": meet,
    "/digest": digest,
    "/large": large,
    "/gone": gone,
    "/fail": fail,
    "/late": late,
}
