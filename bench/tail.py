"""How long short requests wait behind long ones: eight workers, open-loop Poisson load over persistent connections.

    python -m bench.tail                         the topologies of this project
    python -m bench.tail --peers .venv-bench     these and other servers
    python -m bench.tail --rate 928 --only aware at four fifths of what eight workers can do
    python -m bench.tail --svg docs/images/tail.svg     draws the result too

700 requests per second over 64 connections, 5 % of them to /slow (100 ms of work), the rest 2 ms. Latency counts from
the time a request was due, so a server that stalls is charged for all requests that it delays.
"""

# ruff: noqa: T201  # this program prints a table on stdout

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.http1 import exchange
from bench.plot import Axis, Series, draw
from bench.process import HOST, NotServing, free_port, running
from bench.servers import Missing, Server, installed, own, peer, versions

RATE = 700.0  # requests per second
CONNECTIONS = 64
SLOW = 0.05  # the share of long requests
SHARES = (0.5, 0.9, 0.99, 0.999)
DRAWN = 8  # lines of the picture: the first
PATIENCE = 30.0  # seconds that the last responses may take

_ASYNC = ("ownership=half-sync/half-async", "pool.size=8")
_THREADS = ("pool.kind=thread", "pool.size=8")
_PUSH = ("affinity=request", "pool.size=8")
OWN = [
    own("half-sync/half-reactive, 8 processes", "mixed.yaml", "pool.size=8"),
    own("half-sync/half-reactive, 8 threads", "mixed.yaml", "pool.kind=thread", "pool.size=8"),
    own("half-sync/half-reactive, 8 processes, size-aware", "mixed.yaml", "pool.size=8", "dispatch=size-aware"),
    own("half-sync/half-reactive, 8 threads, size-aware", "mixed.yaml", *_THREADS, "dispatch=size-aware"),
    own("half-sync/half-reactive, 8 processes, least-loaded", "mixed.yaml", *_PUSH, "dispatch=least-loaded"),
    own("half-sync/half-reactive, 8 processes, random", "mixed.yaml", *_PUSH, "dispatch=random"),
    own("leader/followers, 8 threads", "mixed.yaml", "ownership=leader/followers", *_THREADS),
    own("leader/followers, 8 processes", "mixed.yaml", "ownership=leader/followers", "pool.size=8"),
    own("half-sync/half-async, 8 processes", "mixed.yaml", *_ASYNC),
    own("half-sync/half-async, 8 processes, shared-queue", "mixed.yaml", *_ASYNC, "dispatch=shared-queue"),
]
_GRANIAN = ("--host", "127.0.0.1", "--port", "PORT", "--no-access-log", "--interface", "wsgi")
_GUNICORN = ("-k", "gthread", "--no-control-socket", "-b", "127.0.0.1:PORT", "mixed:wsgi")
PEERS = [
    peer("gunicorn gthread 8x1", "gunicorn", "-w8", "--threads", "1", *_GUNICORN),
    peer("gunicorn gthread 2x4", "gunicorn", "-w2", "--threads", "4", *_GUNICORN),
    peer("granian 8x1", "granian", "--workers", "8", "--blocking-threads", "1", *_GRANIAN, "mixed:wsgi"),
    peer("granian 2x4", "granian", "--workers", "2", "--blocking-threads", "4", *_GRANIAN, "mixed:wsgi"),
    peer("waitress, 8 threads", "waitress-serve", "--threads=8", "--listen=127.0.0.1:PORT", "mixed:wsgi"),
]


@dataclass
class Result:
    """Latencies in seconds, and the number of failed requests."""

    fast: list[float] = field(default_factory=list)
    slow: list[float] = field(default_factory=list)
    failed: int = 0


class Generator:
    """Sends requests when they are due, each on a free connection, which carries one request at a time."""

    def __init__(self, port: int, rate: float = RATE, seed: int = 1) -> None:
        self._port = port
        self._rate = rate
        self._draw = random.Random(seed)
        self._free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._writers: set[asyncio.StreamWriter] = set()
        self.result = Result()

    async def run(self, seconds: float) -> Result:
        for _ in range(CONNECTIONS):
            self._free.put_nowait(await self._connect())
        due = begun = time.perf_counter() + 0.2
        tasks = []
        while due < begun + seconds:
            due += self._draw.expovariate(self._rate)
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(self._request(self._draw.random() < SLOW, due)))
        _, late = await asyncio.wait(tasks, timeout=PATIENCE)
        self.result.failed += len(late)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        await asyncio.gather(*map(self._close, list(self._writers)), return_exceptions=True)
        return self.result

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(HOST, self._port)
        self._writers.add(writer)
        return reader, writer

    async def _close(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.close()
        with suppress(OSError):  # it was reset
            await writer.wait_closed()

    async def _request(self, slow: bool, due: float) -> None:
        reader, writer = await self._free.get()
        try:
            keep = await exchange(reader, writer, b"/slow" if slow else b"/fast")
            (self.result.slow if slow else self.result.fast).append(time.perf_counter() - due)
        except (OSError, EOFError, ValueError):
            self.result.failed += 1
            keep = False
        if not keep:
            await self._close(writer)
            reader, writer = await self._connect()
        self._free.put_nowait((reader, writer))


def percentile(values: Sequence[float], share: float) -> float:
    """Return a percentile in milliseconds; nan without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else float("nan")


def measure(server: Server, seconds: float, rate: float = RATE) -> Result:
    port = free_port()
    with running(server.command(port), port):
        time.sleep(1)  # a server may start more workers after its first response
        return asyncio.run(Generator(port, rate).run(seconds))


def row(name: str, result: Result) -> str:
    """Return one row of the Markdown table."""
    cells = [f"{percentile(result.fast, share):.1f}" for share in SHARES]
    cells += [f"{percentile(result.slow, share):.0f}" for share in (0.5, 0.99)]
    return f"| {name} | {' | '.join(cells)} | {len(result.fast) + len(result.slow)} | {result.failed} |"


def picture(results: Mapping[str, Result]) -> str:
    """Return an SVG: for how long one short request in 2, in 10, in 100 and in 1000 waits."""
    lines = [
        Series(
            name.removeprefix("poolctl ").removeprefix("half-sync/half-reactive, "),
            [(1 / (1 - share), percentile(result.fast, share)) for share in SHARES],
        )
        for name, result in list(results.items())[:DRAWN]
    ]
    return draw(
        "How long requests of 2 ms take among requests of 100 ms",
        "; ".join(f"{each.name}: {each.points[2][1]:.0f} ms for one in 100" for each in lines),
        lines,
        Axis("one short request in", [2, 10, 100, 1000], log=True),
        Axis("takes at least, ms", [2, 5, 10, 20, 50, 100, 200, 500], log=True),
    )


HEAD = "| server | p50 ms | p90 ms | p99 ms | p99.9 ms | long p50 ms | long p99 ms | answered | failed |"
RULE = "| --- | --: | --: | --: | --: | --: | --: | --: | --: |"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.tail", description="how long short requests wait")
    parser.add_argument("--peers", type=Path, metavar="DIR", help="virtual environment with the other servers")
    parser.add_argument("--seconds", type=float, default=8.0, help="seconds of load per server (8)")
    parser.add_argument("--only", metavar="WORD", help="measure only servers whose name contains this word")
    parser.add_argument("--rate", type=float, default=RATE, help=f"requests per second ({RATE:g})")
    parser.add_argument("--svg", type=Path, metavar="FILE.svg", help="draw how long short requests wait")
    options = parser.parse_args(words)
    results: dict[str, Result] = {}
    try:
        servers = [*OWN, *installed(options.peers, PEERS)]
        print(f"{HEAD}\n{RULE}", flush=True)
        for server in servers:
            if not options.only or options.only in server.name:
                results[server.name] = measure(server, options.seconds, options.rate)
                print(row(server.name, results[server.name]), flush=True)
    except (Missing, NotServing) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.svg:
        options.svg.write_text(picture(results))
    print(f"\n{versions(options.peers)}; {options.seconds:g} s each, {options.rate:g} requests per second")
    return 0


if __name__ == "__main__":
    sys.exit(main())
