"""An ASGI application that does what applications should not, or what servers find hard."""

from __future__ import annotations

import asyncio
import contextvars
import json
import sys
from collections.abc import Callable
from typing import Any

user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")
born: contextvars.ContextVar[str] = contextvars.ContextVar("born", default="nowhere")
kept: list[Any] = []
finished = asyncio.Event()


class Panic(BaseException):
    """As what extensions in Rust raise."""


RAISED: dict[str, Callable[[], BaseException]] = {
    "panic": Panic,
    "keyboard": KeyboardInterrupt,
    "exit": SystemExit,
    "generator": GeneratorExit,
    "cancelled": asyncio.CancelledError,
    "group": lambda: BaseExceptionGroup("several", [Panic(), ValueError()]),
    "stop": StopIteration,
    "ordinary": ValueError,
}


def say(*words: object) -> None:
    sys.stderr.write(" ".join(map(str, words)) + "\n")
    sys.stderr.flush()


def fail(word: str) -> None:
    error = RAISED[word]()
    raise error


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        born.set("startup")
        scope["state"]["shared"] = "at the start"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        say("the app has ended")
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await talk(scope, receive, send)
    else:
        word = scope["query_string"].decode()
        await globals()["page_" + scope["path"].strip("/")](word, scope, receive, send)


async def answer(send: Any, body: bytes, headers: Any = ()) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def opened(send: Any, body: bytes = b"") -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def talk(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    when, _, word = scope["query_string"].decode().partition("-")
    if when == "before":
        fail(word)
    await send({"type": "websocket.accept"})
    if when == "after":
        fail(word)
    try:
        if when == "deaf":
            say("deaf")
            await asyncio.sleep(60)
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": user.get()})
            user.set(message["text"])
    finally:
        say("the talk has ended")


async def page_(word: str, scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"hello")


async def page_before(word: str, scope: Any, receive: Any, send: Any) -> None:
    fail(word)


async def page_later(word: str, scope: Any, receive: Any, send: Any) -> None:
    await asyncio.sleep(0.001)
    fail(word)


async def page_begun(word: str, scope: Any, receive: Any, send: Any) -> None:
    await opened(send, b"half")
    fail(word)


async def page_after(word: str, scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"whole")
    fail(word)


async def page_task(word: str, scope: Any, receive: Any, send: Any) -> None:
    """Others than the request's own task raise, and a callback."""

    def raises() -> None:
        fail(word)

    async def fails() -> None:
        raises()

    kept.append(asyncio.ensure_future(fails()))
    asyncio.get_running_loop().call_soon(raises)
    await asyncio.sleep(0.001)
    await answer(send, b"whole")


async def page_stops(word: str, scope: Any, receive: Any, send: Any) -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.001)
    await answer(send, b"whole")


async def page_afterwards(word: str, scope: Any, receive: Any, send: Any) -> None:
    """Answers, and works on for so many seconds, or until /finish."""
    await answer(send, b"answered")
    try:
        if word:
            await asyncio.sleep(float(word))
        else:
            await finished.wait()
        say("worked on to the end")
    finally:
        say("left the work")


async def page_finish(word: str, scope: Any, receive: Any, send: Any) -> None:
    finished.set()
    await answer(send, b"")


async def page_deaf(word: str, scope: Any, receive: Any, send: Any) -> None:
    """Goes on when it is cancelled, once."""
    for _ in range(2):
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            say("was cancelled")


async def page_sleep(word: str, scope: Any, receive: Any, send: Any) -> None:
    say("sleeps")
    await asyncio.sleep(float(word))
    await answer(send, b"slept")


async def page_user(word: str, scope: Any, receive: Any, send: Any) -> None:
    """Who the request belongs to, and what it finds changed in its scope; then it changes all of it."""
    seen = [user.get(), born.get(), scope["state"].get("mine"), scope["state"]["shared"], "mine" in scope]
    seen += [list(scope["extensions"]), scope["asgi"].get("mine"), b"mine" in dict(scope["headers"])]
    user.set(word)
    scope["mine"] = scope["state"]["mine"] = scope["asgi"]["mine"] = word
    for name in scope["extensions"]:
        seen.append(list(scope["extensions"][name]))
        scope["extensions"][name]["mine"] = word
    scope["extensions"]["mine"] = {}
    scope["headers"].append((b"mine", b""))
    await asyncio.sleep(0.05)
    await answer(send, json.dumps(seen).encode())


async def page_events(word: str, scope: Any, receive: Any, send: Any) -> None:
    """A stream of events: listens, asks now and then, has another task listen, or does nothing of it."""
    await opened(send)
    say("streams")
    try:
        if word == "listens":
            await receive()
            assert (await receive())["type"] == "http.disconnect"
        elif word == "asks":
            await receive()
            while True:
                try:
                    message = await asyncio.wait_for(receive(), 0.05)
                except TimeoutError:
                    await send({"type": "http.response.body", "body": b"event", "more_body": True})
                else:
                    assert message["type"] == "http.disconnect"
                    break
        elif word == "other":
            await receive()
            await asyncio.create_task(receive())
        else:
            await asyncio.sleep(60)
    finally:
        say("the stream has ended:", word)


async def page_poll(word: str, scope: Any, receive: Any, send: Any) -> None:
    """Waits for news, or for the end of its client."""
    await receive()
    say("polls")
    message = await receive()
    say("the poll was told", message["type"])


async def page_listening(word: str, scope: Any, receive: Any, send: Any) -> None:
    """As Django does it: an ordinary request, which another task would abort."""
    await receive()

    async def work() -> None:
        say("works while another task listens")
        await asyncio.sleep(float(word))
        await answer(send, b"worked")

    tasks = [asyncio.create_task(receive()), asyncio.create_task(work())]
    _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()


async def page_empty(word: str, scope: Any, receive: Any, send: Any) -> None:
    """The head, and nothing for as long as the client stays."""
    await opened(send)
    await receive()
    await receive()


async def page_headers(word: str, scope: Any, receive: Any, send: Any) -> None:
    names = b"upgrade te trailer proxy-connection keep-alive proxy-authenticate x-own".split()
    headers = [(name, b"value") for name in names]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b" 2\t"), *headers]})
    await send({"type": "http.response.body", "body": b"ok"})


async def page_large(word: str, scope: Any, receive: Any, send: Any) -> None:
    await answer(send, bytes(20_000_000))
    say("sent much")


async def page_program(word: str, scope: Any, receive: Any, send: Any) -> None:
    programs = [
        await asyncio.create_subprocess_exec("sh", "-c", f"echo {n}; exit {n}", stdout=asyncio.subprocess.PIPE)
        for n in range(3)
    ]
    found = [(await each.communicate())[0].decode().strip() + f"={each.returncode}" for each in programs]
    await answer(send, " ".join(found).encode())


calls: list[str] = []


async def counted(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """How often it was called."""
    if scope["type"] == "http":
        calls.append("")
        await answer(send, b"%d" % len(calls))


def blocking(environ: Any, start_response: Any) -> list[bytes]:
    """The same, for the other kind of server."""
    calls.append("")
    start_response("200 OK", [])
    return [b"%d" % len(calls)]
