"""What clients notice of reloads: SIGHUP every two seconds, under load over busy, idle and short connections.

    python -m bench.reloads                         the topologies of this project
    python -m bench.reloads --peers .venv-bench     these and other servers

10 clients send a request every 15 ms and 20 every 1.5 s, each over one connection that it keeps as long as the server
lets it; 3 open a connection for each request. A request without a whole response of status 200 has failed. A connection
has been closed if the server ended it: with a response that says so, or while it was idle.
"""

# ruff: noqa: T201  # this program prints a table on stdout

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.http1 import exchange
from bench.process import HOST, NotServing, free_port, running
from bench.servers import Missing, Server, installed, own, peer, versions

BUSY, IDLE, SHORT = (10, 0.015), (20, 1.5), (3, 0.02)  # clients, and seconds between their requests
PAUSE = 2.0  # seconds between two reloads

_SIZE = "pool.size=4"
OWN = [
    own("half-sync/half-reactive", "hello.yaml", _SIZE),
    own("half-sync/half-async", "hello.yaml", "ownership=half-sync/half-async", _SIZE),
    own("leader/followers", "hello.yaml", "ownership=leader/followers", _SIZE),
    own("reuse-port", "hello.yaml", "ownership=reuse-port", _SIZE),
    own("half-sync/half-reactive, threads", "hello.yaml", "pool.kind=thread", _SIZE),
]
_GUNICORN = ("--no-control-socket", "-b", "127.0.0.1:PORT", "-w4", "hello:wsgi")
_GRANIAN = ("--host", "127.0.0.1", "--port", "PORT", "--no-access-log", "--workers", "4")
PEERS = [
    peer("gunicorn gthread", "gunicorn", "-k", "gthread", "--threads", "4", *_GUNICORN),
    peer("uvicorn", "uvicorn", "--workers", "4", "--log-level", "error", "--port", "PORT", "hello:asgi"),
    peer("granian wsgi", "granian", "--interface", "wsgi", *_GRANIAN, "hello:wsgi"),
]


@dataclass
class Noticed:
    """What all clients of a server have noticed."""

    answered: int = 0
    failed: int = 0
    closed: int = 0


class Client:
    """One client, until ``over`` is set."""

    def __init__(self, port: int, pause: float, noticed: Noticed, over: asyncio.Event, *, keeps: bool) -> None:
        self._port, self._pause, self._noticed, self._over, self._keeps = port, pause, noticed, over, keeps

    async def run(self) -> None:
        """Connect as often as necessary."""
        while not self._over.is_set():
            try:
                reader, writer = await asyncio.open_connection(HOST, self._port)
            except OSError:
                self._noticed.failed += 1
                await asyncio.sleep(self._pause)
                continue
            await self._serve(reader, writer)
            writer.close()
            with suppress(OSError):  # it was reset
                await writer.wait_closed()
            if not self._keeps:
                await asyncio.sleep(self._pause)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Use a connection until the server ends it."""
        while not self._over.is_set():
            if reader.at_eof():
                self._noticed.closed += 1
                return
            try:
                keep = await exchange(reader, writer, b"/")
            except (OSError, EOFError, ValueError):
                self._noticed.failed += 1
                return
            self._noticed.answered += 1
            if not self._keeps:
                return
            if not keep:
                self._noticed.closed += 1
                return
            await asyncio.sleep(self._pause)


async def load(port: int, pid: int, reloads: int) -> Noticed:
    """Run all clients while the server is reloaded. Returns what they noticed."""
    noticed, over = Noticed(), asyncio.Event()
    clients = [
        asyncio.create_task(Client(port, pause, noticed, over, keeps=keeps).run())
        for (count, pause), keeps in ((BUSY, True), (IDLE, True), (SHORT, False))
        for _ in range(count)
    ]
    await asyncio.sleep(PAUSE)
    for _ in range(reloads):
        os.kill(pid, signal.SIGHUP)
        await asyncio.sleep(PAUSE)
    over.set()
    await asyncio.wait_for(asyncio.gather(*clients), 30)
    return noticed


def measure(server: Server, reloads: int) -> Noticed:
    port = free_port()
    with running(server.command(port), port) as process:
        time.sleep(1)  # a server may start more workers after its first response
        return asyncio.run(load(port, process.pid, reloads))


HEAD = "| server | answered | failed | connections closed |"
RULE = "| --- | --: | --: | --: |"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.reloads", description="what clients notice of reloads")
    parser.add_argument("--peers", type=Path, metavar="DIR", help="virtual environment with the other servers")
    parser.add_argument("--reloads", type=int, default=5, help="reloads of each server (5)")
    parser.add_argument("--only", metavar="WORD", help="measure only servers whose name contains this word")
    options = parser.parse_args(words)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # servers keep ignoring what this process ignores
    try:
        servers = [*OWN, *installed(options.peers, PEERS)]
        print(f"{HEAD}\n{RULE}", flush=True)
        for server in servers:
            if not options.only or options.only in server.name:
                noticed = measure(server, options.reloads)
                print(f"| {server.name} | {noticed.answered} | {noticed.failed} | {noticed.closed} |", flush=True)
    except (Missing, NotServing) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"\n{versions(options.peers)}; {options.reloads} reloads each")
    return 0


if __name__ == "__main__":
    sys.exit(main())
