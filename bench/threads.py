"""What threads beside it cost work that computes: processes of several threads against as many of one.

    python -m bench.threads                     2 processes of 4 threads against 2 of 1
    python -m bench.threads --size 4 --starts 8

Both servers are up at once and are loaded in turn, since the speed of a machine drifts: the figures are the medians of
the ratios of neighbouring bursts, with their quartiles. Of two equal servers one may be some percent faster for as long
as it lives, so the pair is started anew several times. The GIL makes the threads of a process share a core, so more
of them gain such work nothing; what this shows is that they cost it nothing either.
"""

# ruff: noqa: T201  # a few lines on stdout are what this program is for

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
    """The two that are compared."""
    return [
        own(f"{size} processes of {each}", "busy.yaml", f"pool.size={size}", f"pool.threads={each}")
        for each in (threads, 1)
    ]


def burst(pid: int, port: int, seconds: float, connections: int) -> tuple[float, float]:
    """(requests a second, milliseconds of a core for each)."""
    before = cpu_seconds(tree(pid))
    load = wrk.run(port, seconds, connections=connections)
    if load.faults:
        print(f"port {port}: {load.faults}", file=sys.stderr)
    return load.per_second, (cpu_seconds(tree(pid)) - before) / max(load.requests, 1) * 1000


def measure(pair: Sequence[Server], options: argparse.Namespace) -> list[list[tuple[float, float]]]:
    """For each pair of bursts what each of the servers did."""
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
    return found[1:]  # the first warms both up


def ratio(pairs: Sequence[Sequence[tuple[float, float]]], figure: int) -> str:
    """The median of the ratios with its quartiles."""
    low, middle, high = statistics.quantiles([first[figure] / second[figure] for first, second in pairs], n=4)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.threads", description="what threads cost work that computes")
    parser.add_argument("--size", type=int, default=2, help="processes (2)")
    parser.add_argument("--threads", type=int, default=4, help="threads in each (4)")
    parser.add_argument("--starts", type=int, default=4, help="how often both servers are started anew (4)")
    parser.add_argument("--pairs", type=int, default=6, help="bursts of each server and start (6)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each burst (2)")
    parser.add_argument("--connections", type=int, default=8, help="of the load (8)")
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
        print(f"{server.name}: {rate:.1f} requests/s, {cost:.2f} ms of a core for each")
    print(f"requests/s: {ratio(pairs, 0)} of the second's; time of a core: {ratio(pairs, 1)}")
    each_start = ", ".join(f"{statistics.median(a[0] / b[0] for a, b in start):.3f}" for start in starts)
    print(f"requests/s by start: {each_start}")
    print(f"{versions(None)}; {options.connections} connections, {len(pairs)} pairs of {options.seconds:g} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
