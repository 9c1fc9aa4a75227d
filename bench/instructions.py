"""The instructions executed per request, from the bytes received to the bytes sent. The count is the same in each run,
whatever else the machine does, so it shows changes that a clock cannot. Needs valgrind.

    python -m bench.instructions                        all cases, of this tree
    python -m bench.instructions . ../other log-heads   this tree beside another one, in one of the cases

Counted is the user code of the process that serves; the kernel's is not, nor that of the loop that waits, except in the
cases asgi-owned, which is a whole round of a worker and its clients, and at-once and next-round, which compare two ways
to begin a task. The cost of one request is the difference between
two numbers of them, each in a process forked for it.
"""

# ruff: noqa: T201  # a table on stdout is what this program is for

from __future__ import annotations

import asyncio
import gc
import importlib
import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextvars import Context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FEW, MANY = 200, 1000  # requests
CLIENTS = 20  # with connections of their own, in the case asgi-owned
BEFORE = (
    "httptools",
    "pydantic",
    "yaml",
    "logging",
    "http",
    "email.utils",
    "asyncio",
    "typing_extensions",
    "ipaddress",
)
TOTAL = re.compile(r"I\s+refs:\s+([\d,]+)")

Heads = Iterator[bytes]


def same() -> Heads:
    """Yield requests as wrk sends them."""
    return itertools.repeat(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n")


def paths() -> Heads:
    """Yield requests of a browser that loads a page: the same headers, another path each time."""
    for number in itertools.count():
        yield (
            b"GET /item/%08x?page=%d HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
            b"Accept: text/html,application/json;q=0.9\r\nAccept-Encoding: gzip, deflate, br\r\nCookie: session=f00\r\n"
            b"Connection: keep-alive\r\n\r\n" % (number * 2654435761 % 2**32, number % 97)
        )


def heads() -> Heads:
    """Yield requests of a proxy: path, cookie and one header are new in each."""
    for number in itertools.count():
        name = b"%08x%04x" % (number * 2654435761 % 2**32, number % 65536)
        yield (
            b"GET /item/%b?page=%d HTTP/1.1\r\nHost: shop.example\r\nAccept: text/html,application/json;q=0.9\r\n"
            b"User-Agent: wrk\r\nCookie: session=%b\r\nX-Request-ID: %b\r\nConnection: keep-alive\r\n\r\n"
            % (name, number % 97, name, name)
        )


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """As the benchmarks' app."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [b"Hello, world!"]


def page(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Respond with a framework's headers, two of which are new each time."""
    name = environ["RAW_URI"]
    headers = [("Content-Type", "text/html; charset=utf-8"), ("X-Frame-Options", "DENY"), ("Vary", "Cookie")]
    start_response("200 OK", [*headers, ("ETag", f'"{name}"'), ("Set-Cookie", f"last={name}"), ("Content-Length", "5")])
    return [b"hello"]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """As the benchmarks' app."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"13")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"Hello, world!"})


class Sink:
    """Stands in for the client, for both kinds of app."""

    began = last = False
    observer: Any = None
    outbound = None

    def __init__(self) -> None:
        self.loop = self.lifespan = self
        self.state: dict[str, Any] = {}
        # Imported here, from the tree that is measured; an older tree may not have it.
        from poolctl.runtime.protocol import output

        self.presence: Any = getattr(getattr(output, "Presence", None), "HERE", None)

    def send(self, data: bytes) -> None:
        if self.observer is not None and not self.began:
            self.observer.first(data)
        self.began = True

    def complete(self, exchange: Any) -> None:
        """Called when the response is complete."""


def serve(
    heads: Heads, count: int, app: Any = hello, *, new: bool = False, access: str = "", tls: bool = False
) -> None:
    """Serve ``count`` requests with a WSGI app. ``new``: each on its own connection."""
    from poolctl.runtime.access_log.entries import Entries
    from poolctl.runtime.access_log.log import AccessLog
    from poolctl.runtime.app import Surroundings
    from poolctl.runtime.app.wsgi.app import WsgiApp
    from poolctl.runtime.protocol.http.protocol import Http
    from poolctl.runtime.scoreboard import ROW
    from poolctl.runtime.serving.service import Service
    from poolctl.runtime.task import Peer

    class Hello(WsgiApp):
        def find(self) -> Any:
            return app

    made, protocol, row = Hello(), Http(), memoryview(bytearray(8 * ROW)).cast("q")
    made.load(Surroundings(multithread=False, multiprocess=True))
    entries = Entries(AccessLog(access, "/dev/null"), "0") if access else None
    service = Service(made, protocol, row, Context(), entries)
    peer = Peer("127.0.0.1", "40000", "127.0.0.1", "8000")
    out, conversation = Sink(), protocol.conversation(peer)
    for head in itertools.islice(heads, count):
        if new:
            conversation = protocol.conversation(peer)
        conversation.receive(head)
        assert service.answer(conversation.requests.popleft(), out)  # type: ignore[arg-type]  # a Sink will do


def serve_async(heads: Heads, count: int, *, new: bool = False) -> None:
    """Serve ``count`` requests with an ASGI app that never waits."""
    from poolctl.runtime.app.asgi.app import HttpExchange
    from poolctl.runtime.protocol.http.protocol import Http
    from poolctl.runtime.task import Peer

    protocol, peer = Http(), Peer("127.0.0.1", "40000", "127.0.0.1", "8000")
    out: Any = Sink()
    conversation = out.conversation = protocol.streaming(peer)
    for head in itertools.islice(heads, count):
        if new:
            conversation = out.conversation = protocol.streaming(peer)
        conversation.receive(head)
        exchange = HttpExchange(conversation.requests.popleft(), out, asgi)
        try:
            exchange.call().send(None)  # type: ignore[attr-defined]  # a coroutine
        except StopIteration:
            assert exchange.conclude()
        else:
            raise AssertionError("it waits")


class Clients:
    """Clients with a kept connection each, as a callback of the event loop that serves them: in each of its rounds they
    read their responses and send their next requests, ``count`` in all; then they close, and so does ``lifeline``."""

    def __init__(self, loop: Any, row: memoryview, count: int, lifeline: int) -> None:
        self.loop, self.row, self.count, self.lifeline = loop, row, count, lifeline
        self.sent = 0
        self.request = next(same())
        self.mine: list[socket.socket] = []

    def connect(self) -> int:
        """Return the descriptor of another connection, for the server."""
        client, server = socket.socketpair()
        server.setblocking(False)
        self.mine.append(client)
        return server.detach()

    def turn(self) -> None:
        """Take one round, once all requests are answered."""
        from poolctl.runtime.scoreboard import REQUESTS

        if self.row[REQUESTS] == self.sent:
            if self.sent >= self.count:
                os.close(self.lifeline)
                for client in self.mine:
                    client.close()
                return
            for client in self.mine:
                if self.sent:
                    client.recv(65536)
                client.send(self.request)
            self.sent += len(self.mine)
        self.loop.events.call_soon(self.turn)


def own(count: int) -> None:
    """Serve ``count`` requests on kept connections of a worker that owns them, with an ASGI app that never waits: from
    the poller's event to the end of the task."""
    from poolctl.runtime.app import Surroundings
    from poolctl.runtime.app.asgi.app import Asgi
    from poolctl.runtime.lifeline import Life
    from poolctl.runtime.listen.door import Door
    from poolctl.runtime.protocol.http.protocol import Http
    from poolctl.runtime.scoreboard import ROW
    from poolctl.runtime.serving.service import Service
    from poolctl.runtime.serving_async.kinds import connection_of
    from poolctl.runtime.serving_async.loop import AsyncConnectionLoop
    from poolctl.runtime.task import Peer
    from poolctl.runtime.timeouts import Timeouts

    app = Asgi(f"{__name__}:asgi", lifespan="off")
    app.load(Surroundings(multithread=False, multiprocess=True))
    lifeline, end = os.pipe()
    life = Life(lifeline, 30.0, lambda: None)
    # in a time that stands still no sweep is due: their number would depend on the machine
    loop = AsyncConnectionLoop(life, Timeouts(), CLIENTS, app, connection_of(app), clock=lambda: 0.0)
    protocol, row = Http(), memoryview(bytearray(8 * ROW)).cast("q")
    service, door = Service(app, protocol, row, loop.lifespan.context), Door(protocol)
    clients = Clients(loop, row, count, end)
    for _ in range(CLIENTS):
        loop.accept(clients.connect(), Peer("127.0.0.1", "40000", "127.0.0.1", "8000"), service, door)
    loop.events.call_soon(clients.turn)
    loop.run(service)


class LoopOfConnection:
    """Stands for the loop of a connection."""

    draining = noticing = False
    now = 0.0


def connect(count: int) -> None:
    """Make so many connections, without their conversations."""
    from poolctl.runtime.protocol.http.protocol import Http
    from poolctl.runtime.serving.connection import Connection
    from poolctl.runtime.task import Peer

    loop: Any = LoopOfConnection()
    conversation = Http().conversation(Peer("127.0.0.1", "40000", "127.0.0.1", "8000"))
    for _ in range(count):
        Connection(loop, 0, conversation)


def begin(count: int, make: Callable[[], asyncio.AbstractEventLoop], *, at_once: bool) -> None:
    """Begin so many tasks in callbacks of an event loop, one in each of its rounds, as an executor does."""
    from poolctl.runtime.serving_async.task_start import TaskStart

    events = make()
    start = TaskStart(events, Context())
    reader, writer = socket.socketpair()
    start_one = start.at_once if at_once else getattr(start, "task", start)  # in an older tree it is called itself
    left = count

    async def work() -> None:
        nonlocal left
        left -= 1
        if left:
            writer.send(b"x")
        else:
            events.stop()

    def readable() -> None:
        reader.recv(1)
        start_one(work(), "request")

    events.add_reader(reader.fileno(), readable)
    writer.send(b"x")
    events.run_forever()
    events.close()
    reader.close()
    writer.close()


def uvloop() -> asyncio.AbstractEventLoop:
    """An event loop of uvloop."""
    return importlib.import_module("uvloop").new_event_loop()  # type: ignore[no-any-return]  # it has no types


CASES: dict[str, Callable[[int], None]] = {
    "wsgi-same": lambda count: serve(same(), count),
    "wsgi-paths": lambda count: serve(paths(), count),
    "wsgi-heads": lambda count: serve(heads(), count),
    "wsgi-page": lambda count: serve(heads(), count, page),
    "wsgi-new-same": lambda count: serve(same(), count, new=True),
    "wsgi-new-heads": lambda count: serve(heads(), count, new=True),
    "asgi-same": lambda count: serve_async(same(), count),
    "asgi-paths": lambda count: serve_async(paths(), count),
    "asgi-heads": lambda count: serve_async(heads(), count),
    "asgi-owned": own,
    "log-same": lambda count: serve(same(), count, access="combined"),
    "log-paths": lambda count: serve(paths(), count, access="combined"),
    "log-heads": lambda count: serve(heads(), count, access="combined"),
    "connection": connect,
    "at-once-asyncio": lambda count: begin(count, asyncio.new_event_loop, at_once=True),
    "next-round-asyncio": lambda count: begin(count, asyncio.new_event_loop, at_once=False),
    "at-once-uvloop": lambda count: begin(count, uvloop, at_once=True),
    "next-round-uvloop": lambda count: begin(count, uvloop, at_once=False),
}


def count(trees: list[str], cases: list[str]) -> None:
    """Run valgrind on one process for each tree, which imports the tree and forks a process for each count."""
    for name in BEFORE:
        importlib.import_module(name)
    for tree in trees:
        pid = os.fork()
        if not pid:
            count_in(tree, cases)
            os._exit(0)
        os.waitpid(pid, 0)


def count_in(tree: str, cases: list[str]) -> None:
    """Count the instructions of one tree."""
    sys.path.insert(0, tree)
    for case in cases:
        CASES[case](1)
    gc.freeze()
    gc.disable()
    for case, requests in itertools.product(cases, (FEW, MANY)):
        pid = os.fork()
        if not pid:
            CASES[case](requests)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print(tree, case, requests, "failed" if status else pid, flush=True)


def main(words: list[str]) -> int:
    """Print a table with a row for each case and a column for each tree."""
    if words[:1] == ["--count"]:
        count(words[1].split(","), words[2].split(","))
        return 0
    if shutil.which("valgrind") is None:
        print("error: valgrind not found; on Debian: apt-get install valgrind", file=sys.stderr)
        return 2
    cases = [word for word in words if word in CASES] or list(CASES)
    trees = [str(Path(word).resolve()) for word in words if word not in CASES] or [str(ROOT)]
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
        command += [f"--log-file={folder}/%p", sys.executable, str(Path(__file__)), "--count", ",".join(trees)]
        environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        told = subprocess.run(
            [*command, ",".join(cases)], env=environment, cwd=folder, stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        found = {}
        for line in told.splitlines():
            tree, case, requests, pid = line.split()
            total = TOTAL.search((Path(folder) / pid).read_text())
            assert total, f"valgrind counted nothing for {case} of {tree}"
            found[tree, case, int(requests)] = int(total[1].replace(",", ""))
    print(f"| instructions | {' | '.join(Path(tree).name for tree in trees)} |")
    print(f"| --- |{' --: |' * len(trees)}")
    for case in cases:
        costs = [(found[tree, case, MANY] - found[tree, case, FEW]) / (MANY - FEW) for tree in trees]
        print(f"| {case} | {' | '.join(f'{cost:.0f}' for cost in costs)} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
