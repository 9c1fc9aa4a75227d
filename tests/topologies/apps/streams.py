"""An ASGI application whose paths do what HTTP/2 makes interesting."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import Any

log = logging.getLogger("streams")
barriers: dict[int, asyncio.Barrier] = {}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await PAGES[scope["path"]](scope, receive, send)


async def answer(send: Any, body: bytes, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})


async def about(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await answer(send, f"{scope['http_version']} {scope['scheme']} {scope['method']} {scope['client'][0]}".encode())


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
        if message["type"] == "http.disconnect":
            return
        found.update(message["body"])
        more = message["more_body"]
    await answer(send, found.hexdigest().encode())


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Both ways at once."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        message = await receive()
        more = message["more_body"]
        await send({"type": "http.response.body", "body": message["body"], "more_body": more})


async def large(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    count = int(scope["query_string"])
    try:
        for number in range(count):
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": number < count - 1})
    except OSError:
        log.warning("cut off in the middle")


async def gone(scope: dict[str, Any], receive: Any, send: Any) -> None:
    log.warning("waits for the end")
    while (await receive())["type"] != "http.disconnect":
        pass
    log.warning("told of the end")


async def two_wait(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Several tasks wait for the end, and one of them gives up."""
    await receive()
    waiting = [asyncio.ensure_future(receive()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    log.warning("waits for the end")
    told = await asyncio.gather(waiting[0], waiting[2])
    log.warning("told of the end by %s", [message["type"] for message in told])


async def fail_afterwards(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await answer(send, b"whole", 500)
    raise RuntimeError("afterwards")


async def cancelled(scope: dict[str, Any], receive: Any, send: Any) -> None:
    task = asyncio.ensure_future(asyncio.sleep(60))
    asyncio.get_running_loop().call_soon(task.cancel)
    await task


async def fail(scope: dict[str, Any], receive: Any, send: Any) -> None:
    raise RuntimeError("before")


async def fail_late(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"some", "more_body": True})
    raise RuntimeError("after")


async def deaf(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await asyncio.sleep(0.5)
    await digest(scope, receive, send)


PAGES = {
    "/": about,
    "/wait": wait,
    "/meet": meet,
    "/digest": digest,
    "/echo": echo,
    "/large": large,
    "/gone": gone,
    "/two-wait": two_wait,
    "/cancelled": cancelled,
    "/afterwards": fail_afterwards,
    "/fail": fail,
    "/late": fail_late,
    "/deaf": deaf,
}
