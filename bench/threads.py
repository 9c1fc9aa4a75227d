"""The cost of extra threads for CPU-bound work: multi-threaded against as many single-threaded processes.

    python -m bench.threads                     2 processes of 4 threads against 2 of 1
    python -m bench.threads --size 4 --starts 8

Both servers run at the same time and are loaded in turn, because the speed of a machine drifts: the figures are the
medians of the ratios of neighboring bursts, with their quartiles. One of two equal servers may be a few percent faster
for as long as it runs, so the pair is restarted several times. The GIL makes the threads of a process share a core, so
more threads do not speed up CPU-bound work; this shows that they do not slow it down either.
"""

# ruff: noqa: T201  # this program prints a few lines on stdout

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from bench import wrk
from bench.process import NotServing, cpu_seconds, free_port, running, tree
from bench.servers import Missing, Server, own, versions


def servers(size: int, threads: int) -> list[Server]:
    """Return the two servers to compare."""
    return [
        own(f"{size} processes of {each}", "busy.yaml", f"pool.size={size}", f"pool.threads={each}")
        for each in (threads, 1)
    ]


def burst(pid: int, port: int, seconds: float, connections: int) -> tuple[float, float]:
    """Return (requests per second, CPU milliseconds per request)."""
    before = cpu_seconds(tree(pid))
    load = wrk.run(port, seconds, connections=connections)
    if load.faults:
        print(f"port {port}: {load.faults}", file=sys.stderr)
    return load.per_second, (cpu_seconds(tree(pid)) - before) / max(load.requests, 1) * 1000


def measure(pair: Sequence[Server], options: argparse.Namespace) -> list[list[tuple[float, float]]]:
    """Return the results of both servers for each pair of bursts."""
    found = []
    with ExitStack() as stack:
        ports = [free_port() for _ in pair]
        up = [
            stack.enter_context(running(server.command(port), port)) for server, port in zip(pair, ports, strict=True)
        ]
        for number in range(options.pairs + 1):
            got = {
                which: burst(up[which].pid, ports[which], options.seconds, options.connections)
                for which in ((0, 1) if number % 2 else (1, 0))
            }
            found.append([got[0], got[1]])
    return found[1:]  # the first pair is a warm-up


def ratio(pairs: Sequence[Sequence[tuple[float, float]]], figure: int) -> str:
    """Return the median of the ratios, with the quartiles."""
    low, middle, high = statistics.quantiles([first[figure] / second[figure] for first, second in pairs], n=4)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.threads", description="the cost of threads for CPU-bound work"
    )
    parser.add_argument("--size", type=int, default=2, help="processes (2)")
    parser.add_argument("--threads", type=int, default=4, help="threads in each (4)")
    parser.add_argument("--starts", type=int, default=4, help="how often both servers are restarted (4)")
    parser.add_argument("--pairs", type=int, default=6, help="bursts of each server per start (6)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each burst (2)")
    parser.add_argument("--connections", type=int, default=8, help="connections of the load generator (8)")
    options = parser.parse_args(words)
    pair = servers(options.size, options.threads)
    try:
        wrk.need()
        starts = [measure(pair, options) for _ in range(options.starts)]
    except (Missing, NotServing) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    pairs = [each for start in starts for each in start]
    for number, server in enumerate(pair):
        rate = statistics.median(each[number][0] for each in pairs)
        cost = statistics.median(each[number][1] for each in pairs)
        print(f"{server.name}: {rate:.1f} requests/s, {cost:.2f} ms of CPU per request")
    print(f"ratios of the first server to the second: requests/s {ratio(pairs, 0)}, CPU per request {ratio(pairs, 1)}")
    by_start = ", ".join(f"{statistics.median(a[0] / b[0] for a, b in start):.3f}" for start in starts)
    print(f"requests/s by start: {by_start}")
    print(f"{versions(None)}; {options.connections} connections, {len(pairs)} pairs of {options.seconds:g} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
