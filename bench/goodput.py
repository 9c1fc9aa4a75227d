"""What is useful of what a server answers in overload: eight workers, an app that takes 100 ms, open-loop Poisson load.

    python -m bench.goodput                                      the topologies of this project
    python -m bench.goodput --peers .venv-bench --save now.json --svg now.svg
    python -m bench.goodput --from now.json --svg now.svg        draws again; measures nothing

80 requests per second are possible, and 0.5 to 3 times as many come, each on a connection of its own. A client gives up
5 s after its request was due, and closes. Useful is a response with 200 before that. A refusal is any other response, a
connection that is refused or reset, and one that ends without a response.

What counts is what happens in ``--seconds`` after a lead. Above the capacity a queue grows until clients give up, which
would take 20 s at 1.25 times the capacity, and a short measurement would show only the time before. So the lead brings
there what makes it as long at once: 400 more requests within a second, as many as the pool does in 5 s, and then lasts
until their clients have gone. Up to the capacity it is a second of the same load. Each load meets a new server.

What is fair. Eight requests are served at once everywhere: by eight processes (poolctl, gunicorn, granian), by eight
threads (waitress), by eight permits inside the app (uvicorn, whose event loop has no bound of its own). Beyond that the
servers keep the queues that they have by default, with these exceptions:

* uvicorn has no bound at all by default; ``--limit-concurrency 17`` lets in sixteen connections, eight of which wait,
  for 100 ms. With 9 nothing waits, and it refuses requests below the capacity too.
* gunicorn is measured with its own backlog of 2048 and with one of 16. The kernel drops the connections that do not fit
  a backlog, without a word, and clients try again a second later.

The generator is one process, which shares the cores with the server. It must not be the bottleneck, so each row shows
how late it sent its requests (p99), and a measurement in which that was more than 20 ms is repeated, twice at most. The
app sleeps, so cores are not scarce unless something else needs them.
"""

# ruff: noqa: T201  # this program prints tables on stdout

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.plot import Axis, Series, draw
from bench.process import HOST, NotServing, free_port, running
from bench.servers import Missing, Server, installed, own, peer, versions
from bench.tail import percentile

CAPACITY = 80.0  # requests per second: eight at once, 100 ms each
LOADS = (0.5, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0)  # times the capacity
PATIENCE = 5.0  # seconds from when a request is due
RUSH = PATIENCE * CAPACITY  # requests within the first second of the lead
LEAD = 1.0  # seconds
ON_TIME = 20.0  # milliseconds: the most that the generator may be late (p99)
ATTEMPTS = 3
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

USEFUL, REFUSED, GAVE_UP = "useful", "refused", "gave up"

OWN = [
    own("by default", "tenth.yaml", "pool.size=8"),
    own("least-loaded", "tenth.yaml", "pool.size=8", "dispatch=least-loaded"),
    own("overload: off", "tenth.yaml", "pool.size=8", "overload=off"),
]
_GUNICORN = ("-k", "sync", "-w", "8", "--no-control-socket", "-b", "127.0.0.1:PORT", "tenth:wsgi")
_GRANIAN = ("--host", "127.0.0.1", "--port", "PORT", "--no-access-log", "--interface", "wsgi", "--workers", "8")
_UVICORN = ("--host", "127.0.0.1", "--port", "PORT", "--no-access-log", "--log-level", "error", "--lifespan", "off")
PEERS = [
    peer("uvicorn, limit 17", "uvicorn", *_UVICORN, "--limit-concurrency", "17", "tenth:asgi"),
    peer("gunicorn, backlog 16", "gunicorn", "--backlog", "16", *_GUNICORN),
    peer("gunicorn", "gunicorn", *_GUNICORN),
    peer("granian", "granian", *_GRANIAN, "--blocking-threads", "1", "tenth:wsgi"),
    peer("waitress", "waitress-serve", "--threads=8", "--listen=127.0.0.1:PORT", "tenth:wsgi"),
]


@dataclass(frozen=True)
class Event:
    """How a request ended: when, in seconds from the begin of the load, and how long after it was due."""

    at: float
    outcome: str
    took: float


@dataclass(frozen=True)
class Point:
    """What a server does under one load, a multiple of the capacity. ``useful``: responses per second, as a share of
    the capacity; ``refused`` and ``gave_up``: shares of all requests that ended; times in milliseconds, of the useful
    responses, and of the generator's delay."""

    load: float
    useful: float
    p50: float | None
    p99: float | None
    refused: float
    gave_up: float
    late: float


def poisson(rate: float, seconds: float, draws: random.Random) -> list[float]:
    """Return the times of arrivals within so many seconds."""
    found = []
    at = draws.expovariate(rate)
    while at < seconds:
        found.append(at)
        at += draws.expovariate(rate)
    return found


def arrivals(load: float, seconds: float, seed: int = 1) -> tuple[list[float], float]:
    """Return when requests are due, in order, and when the lead ends and the measurement begins."""
    draws = random.Random(seed)
    lead = LEAD + PATIENCE if load > 1 else LEAD
    rush = poisson(RUSH / LEAD, LEAD, draws) if load > 1 else []
    return sorted(rush + poisson(load * CAPACITY, lead + seconds, draws)), lead


class Generator:
    """Sends requests when they are due, each on a connection of its own, and keeps how each ended."""

    def __init__(self, port: int, patience: float = PATIENCE) -> None:
        self._port = port
        self._patience = patience
        self._begun = 0.0
        self.events: list[Event] = []
        self.late: list[tuple[float, float]] = []  # when each was due, and the seconds until it was sent

    async def run(self, due: Iterable[float], until: float) -> None:
        """Send all requests, and return when all have ended. Those that have not at ``until`` are dropped."""
        self._begun = time.perf_counter()
        pending = set()
        for each in due:
            await asyncio.sleep(max(0.0, each - self._now()))
            task = asyncio.create_task(self._request(each))
            pending.add(task)
            task.add_done_callback(pending.discard)
        if pending:
            await asyncio.wait(pending, timeout=max(0.0, until - self._now()))
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    def _now(self) -> float:
        return time.perf_counter() - self._begun

    async def _request(self, due: float) -> None:
        late = self._now() - due
        self.late.append((due, late))
        try:
            async with asyncio.timeout(self._patience - late):
                outcome = USEFUL if await self._response() else REFUSED
        except TimeoutError:
            outcome = GAVE_UP
        except OSError:
            outcome = REFUSED
        now = self._now()
        self.events.append(Event(now, outcome, now - due))

    async def _response(self) -> bool:
        """Return whether there is a whole response with 200."""
        reader, writer = await asyncio.open_connection(HOST, self._port)
        try:
            writer.write(REQUEST)
            response = await reader.read()
        finally:
            writer.close()
        return response.startswith(b"HTTP/1.1 200 ") and response.endswith(b"ok")


def point(load: float, generator: Generator, begin: float, end: float) -> Point:
    """Return the figures of what happened between two times."""
    within = [event for event in generator.events if begin <= event.at < end]
    took = [event.took for event in within if event.outcome == USEFUL]
    count = max(len(within), 1)
    return Point(
        load,
        len(took) / (end - begin) / CAPACITY,
        percentile(took, 0.5) if took else None,
        percentile(took, 0.99) if took else None,
        sum(event.outcome == REFUSED for event in within) / count,
        sum(event.outcome == GAVE_UP for event in within) / count,
        percentile([late for due, late in generator.late if due >= begin], 0.99),
    )


def measure(server: Server, load: float, seconds: float) -> Point:
    """Return the figures of a server under one load, of the first attempt in which the generator was on time."""
    for _ in range(ATTEMPTS):
        found = attempt(server, load, seconds)
        if found.late <= ON_TIME:
            break
    return found


def attempt(server: Server, load: float, seconds: float) -> Point:
    """Start the server, and return its figures under one load."""
    port = free_port()
    due, begin = arrivals(load, seconds)
    generator = Generator(port)
    with running(server.command(port), port):
        time.sleep(1)  # a server may start more workers after its first response
        asyncio.run(generator.run(due, begin + seconds))
    return point(load, generator, begin, begin + seconds)


HEAD = "| server | load | useful | p50 ms | p99 ms | refused | gave up | sent late, p99 ms |"
RULE = "| --- | --: | --: | --: | --: | --: | --: | --: |"


def row(name: str, found: Point) -> str:
    """Return one row of the table that has everything."""
    times = " | ".join("" if each is None else f"{each:.0f}" for each in (found.p50, found.p99))
    ends = f"{found.refused:.0%} | {found.gave_up:.0%} | {found.late:.1f}"
    return f"| {name} | {found.load:g} | {found.useful:.0%} | {times} | {ends} |"


def summary(results: Mapping[str, Sequence[Point]]) -> str:
    """Return the table with a row for each server: the useful share under each load, and the p99 behind it."""
    loads = [each.load for each in next(iter(results.values()))]
    lines = [
        f"| server | {' | '.join(f'{load:g}' for load in loads)} |",
        f"| --- |{' --: |' * len(loads)}",
    ]
    for name, points in results.items():
        cells = [f"{each.useful:.0%}{'' if each.p99 is None else f', {each.p99:.0f}'}" for each in points]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def pictures(results: Mapping[str, Sequence[Point]]) -> tuple[str, str]:
    """Return the two SVGs: what is useful, and the p99 of it, over the load."""
    loads = sorted({each.load for points in results.values() for each in points})
    x = Axis("requests per second, as a multiple of what eight workers can serve", loads)
    useful = [Series(name, [(each.load, each.useful * 100) for each in points]) for name, points in results.items()]
    never = PATIENCE * 1000
    waits = [Series(name, [(each.load, each.p99 or never) for each in points]) for name, points in results.items()]
    most = f"under {loads[-1]:g} times the load that it can serve"
    return (
        draw(
            "Useful responses in overload",
            f"Of each server, {most}: {_last(useful, ' % of its capacity is useful')}.",
            useful,
            x,
            Axis("useful responses, in % of the capacity", (0, 25, 50, 75, 100), unit=" %"),
        ),
        draw(
            "How long useful responses take in overload",
            f"The 99th percentile of each server, {most}: {_last(waits, ' ms')}. 5000 ms: all clients gave up.",
            waits,
            x,
            Axis(
                "99th percentile in ms, on a logarithmic scale; 5000: all clients gave up",
                (100, 200, 500, 1000, 2000, 5000),
                log=True,
            ),
        ),
    )


def _last(series: Sequence[Series], unit: str) -> str:
    return "; ".join(f"{each.name}, {each.points[-1][1]:.0f}{unit}" for each in series)


def read(file: Path) -> tuple[dict[str, list[Point]], str]:
    """Return the results in a file that ``write`` wrote, and the line below them."""
    saved = json.loads(file.read_text())
    return {name: [Point(**each) for each in points] for name, points in saved["results"].items()}, saved["about"]


def write(file: Path, results: Mapping[str, Sequence[Point]], about: str) -> None:
    """Write results into a file, for ``read``."""
    points = {name: [asdict(each) for each in found] for name, found in results.items()}
    file.write_text(json.dumps({"about": about, "results": points}, indent=1) + "\n")


def measured(options: argparse.Namespace) -> tuple[dict[str, list[Point]], str]:
    """Measure all servers that the options choose. Returns what ``read`` does."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # 1,200 clients wait at the same time
    results: dict[str, list[Point]] = {}
    for server in [*OWN, *installed(options.peers, PEERS)]:
        if not options.only or options.only in server.name:
            for each in options.loads:
                found = measure(server, each, options.seconds)
                print(row(server.name, found), flush=True)
                results.setdefault(server.name, []).append(found)
    if not results:
        raise Missing(f"no server's name contains {options.only!r}; those of other servers need --peers")
    return results, f"{versions(options.peers)}; {options.seconds:g} s each"


def numbers(words: str) -> list[float]:
    return sorted(float(word) for word in words.split(","))


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.goodput", description="what is useful in overload")
    parser.add_argument("--peers", type=Path, metavar="DIR", help="virtual environment with the other servers")
    parser.add_argument("--seconds", type=float, default=10.0, help="seconds that count, per server and load (10)")
    parser.add_argument("--only", metavar="WORD", help="measure only servers whose name contains this word")
    parser.add_argument("--loads", type=numbers, default=LOADS, metavar="X,X", help="multiples of the capacity")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the results as JSON")
    parser.add_argument("--from", type=Path, metavar="FILE", dest="source", help="read results, and measure nothing")
    parser.add_argument("--svg", type=Path, metavar="FILE.svg", help="draw into this file and into FILE-p99.svg")
    options = parser.parse_args(words)
    print(f"{HEAD}\n{RULE}", flush=True)
    try:
        results, about = read(options.source) if options.source else measured(options)
    except (Missing, NotServing) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.source:
        print("\n".join(row(name, each) for name, points in results.items() for each in points))
    if options.save:
        write(options.save, results, about)
    if options.svg:
        for file, picture in zip((options.svg, p99_of(options.svg)), pictures(results), strict=True):
            file.write_text(picture)
    print(f"\nuseful, and p99 in ms, by load:\n\n{summary(results)}\n\n{about}")
    return 0


def p99_of(file: Path) -> Path:
    """Return the file of the second picture."""
    return file.with_name(f"{file.stem}-p99{file.suffix}")


if __name__ == "__main__":
    sys.exit(main())
