"""What a request costs under one server against another, on a machine whose speed drifts.

    python -m bench.pair reuse-port granian-wsgi --peers .venv-bench
    python -m bench.pair leader granian-wsgi --peers .venv-bench --heads varying --close
    python -m bench.pair reuse-port granian-wsgi --peers .venv-bench --tls
    python -m bench.pair 'reuse-port, 1' ../other                  the same, run by another tree of this project
    python -m bench.pair asgi 'granian --interface asgi --port PORT hello:asgi'
    python -m bench.pair --bars --peers .venv-bench                each bar of docs/performance.md, as a table

Both servers are up at once, on core 0; wrk on core 1 loads them in turn, for a second each. The figure is the median of
the ratios of neighboring bursts, in CPU time of the whole process tree per request, with the quartiles. Quartiles far
apart say that the machine was too noisy; run it again.
"""

# ruff: noqa: T201  # this program prints its figures on stdout

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from bench import cost, wrk
from bench.process import NotServing, cpu_seconds, free_port, running, tree
from bench.servers import Missing, Server, begun, installed, versions


@dataclass(frozen=True)
class Kind:
    """What the load generator sends. ``heads``: see ``wrk.HEADS``; ``close``: a new connection for each request;
    ``tls``: over TLS."""

    heads: str = "identical"
    close: bool = False
    tls: bool = False

    def __str__(self) -> str:
        return f"{self.heads}, {'new' if self.close else 'kept'}{', TLS' if self.tls else ''}"


@dataclass(frozen=True)
class Bar:
    """The most that a topology may cost, as a ratio to another server. ``compiled``: with the compiled modules."""

    name: str
    peer: str
    kind: Kind
    most: float
    compiled: bool = False


IDENTICAL, IDENTICAL_NEW, VARYING, VARYING_NEW = (
    Kind(heads, close) for heads in ("identical", "varying") for close in (False, True)
)


IDENTICAL_TLS = Kind(tls=True)


def bars(name: str, peer: str, kept: float, new: float, varying: float, varying_new: float) -> list[Bar]:
    """Return the bars of one topology, for each kind of load."""
    return [
        Bar(name, peer, IDENTICAL, kept),
        Bar(name, peer, IDENTICAL_NEW, new),
        Bar(name, peer, VARYING, varying, compiled=True),
        Bar(name, peer, VARYING_NEW, varying_new, compiled=True),
    ]


BARS = [
    *bars("reuse-port, 1 process", "granian-wsgi", 0.8, 0.9, 1.2, 1.05),
    *bars("half-sync/half-async, 1 process", "granian-wsgi", 0.8, 1.2, 1.2, 1.2),
    *bars("leader/followers, 4 threads", "granian-wsgi", 1.0, 1.1, 1.2, 1.2),
    *bars("half-sync/half-reactive, 4 processes", "uvicorn", 0.7, 0.6, 0.8, 0.7),
    Bar("asgi, reuse-port, 1 process", "uvicorn", IDENTICAL, 0.5),
    Bar("asgi, reuse-port, 1 process", "granian-asgi", IDENTICAL, 0.7),
    Bar("asgi, reuse-port, 1 process", "granian-asgi", IDENTICAL_NEW, 0.9),
    Bar("asgi, reuse-port, 1 process", "uvicorn", VARYING, 0.6, compiled=True),
    Bar("reuse-port, 1 process", "granian-wsgi", IDENTICAL_TLS, 1.3, compiled=True),
    Bar("half-sync/half-async, 1 process", "granian-wsgi", IDENTICAL_TLS, 1.3, compiled=True),
    Bar("leader/followers, 4 threads", "granian-wsgi", IDENTICAL_TLS, 1.3, compiled=True),
    Bar("asgi, reuse-port, 1 process", "granian-asgi", IDENTICAL_TLS, 1.3),
]


@dataclass(frozen=True)
class Ratio:
    """The quartiles of the ratios, and the medians of both servers in CPU microseconds per request."""

    low: float
    middle: float
    high: float
    first: float
    second: float

    def __str__(self) -> str:
        return f"{self.middle:.2f} (quartiles {self.low:.2f} to {self.high:.2f})"


def ratio(pairs: Sequence[tuple[float, float]]) -> Ratio:
    """Compare the costs of neighboring bursts, at least two."""
    quartiles = statistics.quantiles([first / second for first, second in pairs], n=4)
    return Ratio(*quartiles, *(statistics.median(costs) for costs in zip(*pairs, strict=True)))


def burst(pid: int, port: int, kind: Kind, connections: int) -> float:
    """Load a server for a second. Returns CPU microseconds per request."""
    before = cpu_seconds(tree(pid))
    load = wrk.run(port, 1, connections=connections, close=kind.close, heads=kind.heads, tls=kind.tls)
    if load.faults:
        print(f"port {port}: {load.faults}", file=sys.stderr)
    return (cpu_seconds(tree(pid)) - before) / max(load.requests, 1) * 1e6


def measure(servers: Sequence[Server], kinds: Sequence[Kind], pairs: int, connections: int = 32) -> list[Ratio]:
    """Start two servers, and compare them in each kind of load; all are over TLS if one is. Raises NotServing."""
    tls = any(kind.tls for kind in kinds)
    with ExitStack() as stack:
        ports = [free_port() for _ in servers]
        pids = [
            stack.enter_context(running(["taskset", "-c", "0", *server.command(port)], port, tls=tls)).pid
            for server, port in zip(servers, ports, strict=True)
        ]
        found = []
        for kind in kinds:
            costs: list[tuple[float, float]] = []
            for number in range(pairs + 1):
                which = (0, 1) if number % 2 else (1, 0)
                got = {each: burst(pids[each], ports[each], kind, connections) for each in which}
                costs.append((got[0], got[1]))
            found.append(ratio(costs[1:]))  # the first pair is a warm-up
        return found


def chosen(word: str, peers: Path | None) -> Server:
    """Return the server that is meant: part of a name of bench.cost, or a command with PORT. Raises Missing."""
    for server in cost.OWN:
        if word in server.name:
            return server
    for server in cost.PEERS:
        if word == server.name:
            if peers is None:
                raise Missing(f"{word} is another server; add --peers .venv-bench")
            return installed(peers, [server])[0]
    words = shlex.split(word)
    if "PORT" not in word:
        names = ", ".join(server.name for server in [*cost.OWN, *cost.PEERS])
        raise Missing(f"unknown server {word!r}; use one of {names}; a folder; or a command with PORT")
    return Server(words[0], lambda port: [each.replace("PORT", str(port)) for each in words])


def of_tree(server: Server, folder: Path) -> Server:
    """Return the same topology, run by another tree of this project, which has a .venv. Raises Missing."""
    python = folder.resolve() / ".venv" / "bin" / "python"
    if not python.exists():
        raise Missing(f"{python} does not exist; run `make .venv/installed` in {folder}")
    start = ["env", f"PYTHONPATH={folder.resolve()}", str(python)]
    made = begun(server, lambda command: [*start, *command[1:]])
    return replace(made, name=f"{server.name} of {folder}")


def table(options: argparse.Namespace) -> int:
    """Measure all bars, and print them. Returns how many were missed."""
    missed = 0
    print("| topology | other server | heads, connections | ratio | at most |")
    print("| --- | --- | --- | --: | --: |")
    for name, peer, tls in dict.fromkeys((bar.name, bar.peer, bar.kind.tls) for bar in BARS):
        row = [bar for bar in BARS if (bar.name, bar.peer, bar.kind.tls) == (name, peer, tls)]
        servers = [chosen(word, options.peers) for word in (name, peer)]
        if tls:
            servers = [server.over_tls() for server in servers]
        for bar, found in zip(row, measure(servers, [bar.kind for bar in row], options.pairs), strict=True):
            most = f"{bar.most}{' compiled' if bar.compiled else ''}"
            print(f"| {name} | {peer} | {bar.kind} | {found} | {most} |", flush=True)
            missed += found.middle > bar.most
    return missed


def compare(options: argparse.Namespace) -> int:
    """Measure one pair, and print it. Returns how many bars were missed: 1 if it is above ``--at-most``."""
    first = chosen(options.first, options.peers)
    folder = Path(options.second)
    second = of_tree(first, folder) if folder.is_dir() else chosen(options.second, options.peers)
    kind = Kind(options.heads, options.close, options.tls)
    if options.tls:
        first, second = first.over_tls(), second.over_tls()
    (found,) = measure((first, second), [kind], options.pairs, options.connections)
    print(f"{first.name}, {kind}: {found} x {second.name}; {found.first:.1f} and {found.second:.1f} us/request")
    return int(options.at_most is not None and found.middle > options.at_most)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.pair", description="the cost of one server against another")
    parser.add_argument("first", nargs="?", default="", help="part of the name of a row of bench.cost, or a command")
    parser.add_argument("second", nargs="?", default="", help="the same; or the folder of another tree of this project")
    parser.add_argument("--peers", type=Path, metavar="DIR", help="virtual environment with the other servers")
    parser.add_argument("--pairs", type=int, default=12, help="bursts of each server, at least 2 (12)")
    parser.add_argument("--connections", type=int, default=32, help="connections of the load generator (32)")
    parser.add_argument("--heads", choices=wrk.HEADS, default="identical", help="what requests look like (identical)")
    parser.add_argument("--close", action="store_true", help="open a new connection for each request")
    parser.add_argument("--tls", action="store_true", help="measure both over TLS")
    parser.add_argument("--at-most", type=float, metavar="RATIO", help="exit with 1 if the ratio is above this")
    parser.add_argument("--bars", action="store_true", help="measure every bar; exit with 1 if one is missed")
    options = parser.parse_args(words)
    if not options.bars and not (options.first and options.second):
        parser.error("two servers are needed, or --bars")
    if options.pairs < 2:
        parser.error("--pairs must be at least 2")
    return options


def main(words: Sequence[str] | None = None) -> int:
    options = arguments(words)
    try:
        wrk.need()
        missed = table(options) if options.bars else compare(options)
    except (Missing, NotServing) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{versions(options.peers)}; {options.pairs} pairs of 1 s", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
