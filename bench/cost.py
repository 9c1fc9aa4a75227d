"""The cost of a request in CPU time of the server, which has one core; the load generator has another.

    python -m bench.cost                         the topologies of this project
    python -m bench.cost --peers .venv-bench     these and other servers, in turn, in the same run
    python -m bench.cost --heads varying         requests that differ, as those of real clients do (bench/heads.lua)

CPU microseconds per request are the figure to compare: they vary far less with the machine than requests per second.
Each round measures every server once; the table has the medians of the rounds.
"""

# ruff: noqa: T201  # this program prints a table on stdout

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import wrk
from bench.process import NotServing, cpu_seconds, free_port, memory_mib, running, tree
from bench.servers import Missing, Server, installed, own, peer, versions

OWN = [
    own("reuse-port, 1 process", "hello.yaml", "ownership=reuse-port", "pool.size=1"),
    own("half-sync/half-async, 1 process", "hello.yaml", "ownership=half-sync/half-async", "pool.size=1"),
    own("leader/followers, 4 threads", "hello.yaml", "ownership=leader/followers", "pool.kind=thread", "pool.size=4"),
    own("half-sync/half-reactive, 4 threads", "hello.yaml", "pool.kind=thread", "pool.size=4"),
    own("half-sync/half-reactive, 4 processes", "hello.yaml", "pool.size=4"),
    own("asgi, reuse-port, 1 process", "hello.yaml", "app={asgi: 'hello:asgi'}", "ownership=reuse-port", "pool.size=1"),
]
_GRANIAN = ("--host", "127.0.0.1", "--port", "PORT", "--no-access-log")
_UVICORN = ("--port", "PORT", "--no-access-log", "--log-level", "warning", "--loop", "uvloop", "--http", "httptools")
_GUNICORN = ("--no-control-socket", "-b", "127.0.0.1:PORT")
_WSGI = ("--interface", "wsgi", "--blocking-threads", "8", "hello:wsgi")
_FILES = ("--ssl-certificate", "--ssl-keyfile")
PEERS = [
    peer("granian-wsgi", "granian", *_GRANIAN, *_WSGI, files=_FILES),
    peer("granian-asgi", "granian", *_GRANIAN, "--interface", "asgi", "hello:asgi", files=_FILES),
    peer("uvicorn", "uvicorn", *_UVICORN, "hello:asgi", files=("--ssl-certfile", "--ssl-keyfile")),
    peer("gunicorn-gthread", "gunicorn", "-w1", "-k", "gthread", "--threads", "4", *_GUNICORN, "hello:wsgi"),
    peer("waitress", "waitress-serve", "--listen=127.0.0.1:PORT", "hello:wsgi"),
]
REFERENCES = ("granian-wsgi", "granian-asgi", "uvicorn", "gunicorn-gthread")  # of the ratios
KINDS = {
    f"{heads} heads, {'a new connection per request' if close else 'kept connections'}": (heads, close)
    for heads in wrk.HEADS
    for close in (False, True)
}


@dataclass(frozen=True)
class Cost:
    """One measurement with one kind of load: CPU in microseconds, latency in milliseconds."""

    cpu: float
    per_second: float
    p99: float
    faults: str


def measure(server: Server, seconds: float, kinds: Sequence[str]) -> tuple[dict[str, Cost], float]:
    """Return the cost for each kind of load, and the memory in MiB afterwards."""
    port = free_port()
    with running(["taskset", "-c", "0", *server.command(port)], port) as process:
        costs = {}
        for kind in kinds:
            heads, close = KINDS[kind]
            wrk.run(port, 1, close=close, heads=heads)  # warm-up
            before = cpu_seconds(tree(process.pid))
            load = wrk.run(port, seconds, close=close, heads=heads)
            spent = cpu_seconds(tree(process.pid)) - before
            costs[kind] = Cost(spent / max(load.requests, 1) * 1e6, load.per_second, load.p99, load.faults)
        return costs, memory_mib(tree(process.pid))


def middle(costs: Sequence[Cost]) -> Cost:
    """Return the median of each figure, and all faults."""
    faults = "; ".join(cost.faults for cost in costs if cost.faults)
    return Cost(
        median(cost.cpu for cost in costs),
        median(cost.per_second for cost in costs),
        median(cost.p99 for cost in costs),
        faults,
    )


def table(rows: dict[str, Cost], memory: dict[str, float]) -> str:
    """Return a Markdown table, with the ratio of CPU time to each measured reference."""
    references = [name for name in REFERENCES if name in rows]
    heads = ["server", "CPU us/request", "requests/s", "p99 ms", "MiB", *(f"x {name}" for name in references)]
    lines = [" | ".join(heads), " | ".join(["---", *["--:"] * (len(heads) - 1)])]
    for name, cost in rows.items():
        cells = [name, f"{cost.cpu:.1f}", f"{cost.per_second:.0f}", f"{cost.p99:.2f}", f"{memory[name]:.0f}"]
        cells += [f"{cost.cpu / rows[reference].cpu:.2f}" for reference in references]
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.cost", description="CPU time of the server per request")
    parser.add_argument("--peers", type=Path, metavar="DIR", help="virtual environment with the other servers")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="seconds of load per measurement, a whole number (3)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each server is measured (3)")
    parser.add_argument("--only", metavar="WORD", help="measure only servers whose name contains this word")
    parser.add_argument("--heads", choices=wrk.HEADS, help="measure only requests that look like this")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    options = arguments(words)
    try:
        wrk.need()
        servers = [*OWN, *installed(options.peers, PEERS)]
        servers = [server for server in servers if not options.only or options.only in server.name]
        kinds = [kind for kind, (heads, _) in KINDS.items() if options.heads in (None, heads)]
        measured: dict[str, list[tuple[dict[str, Cost], float]]] = {server.name: [] for server in servers}
        for number in range(options.rounds):
            for server in servers:
                print(f"round {number + 1} of {options.rounds}: {server.name}", file=sys.stderr, flush=True)
                measured[server.name].append(measure(server, options.seconds, kinds))
    except (Missing, NotServing) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    memory = {name: median(mib for _, mib in runs) for name, runs in measured.items()}
    for kind in kinds:
        rows = {name: middle([costs[kind] for costs, _ in runs]) for name, runs in measured.items()}
        print(f"\n{kind}\n\n{table(rows, memory)}")
        for name, cost in rows.items():
            if cost.faults:
                print(f"\n{name}: {cost.faults}")
    print(f"\n{versions(options.peers)}; {options.rounds} rounds of {options.seconds:g} s, 32 connections")
    return 0


if __name__ == "__main__":
    sys.exit(main())
