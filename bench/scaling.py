"""What a request costs with ever more workers, and with ever more idle connections beside it.

    python -m bench.scaling                    both tables
    python -m bench.scaling --workers 1,64     some of the pools
    python -m bench.scaling --idle 10,10000    some numbers of connections

The workers are processes under half-sync/half-reactive and the shared queue, as by default; the idle connections are
those of one process under reuse-port. The server has core 0, the load generator core 1.
"""

# ruff: noqa: T201  # this program prints tables on stdout

from __future__ import annotations

import argparse
import resource
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from bench import wrk
from bench.process import HOST, NotServing, free_port, memory_mib, running, tree
from bench.servers import Missing, Server, own, versions

WORKERS = (1, 4, 16, 64, 256)
IDLE = (10, 100, 1000, 10_000)
ABOVE = 3  # processes above the workers: supervisor, mold, front
WARM_BURSTS = 2  # before those that count
IDLE_SECONDS = 5.0  # for which an idle server's CPU time is measured
SPARE = 100  # descriptors of this process that are not connections
UNLIMITED = ("timeouts.idle=1h", "limits.connections=15000")
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def pool(workers: int) -> Server:
    """Return a server with so many worker processes."""
    return own(f"{workers} workers", "hello.yaml", f"pool.size={workers}")


def loop() -> Server:
    """Return a server with one process, for the idle connections."""
    return own("reuse-port", "hello.yaml", "ownership=reuse-port", "pool.size=1", *UNLIMITED)


def spent(pids: Sequence[int]) -> float:
    """Return the CPU seconds of these processes, to the nanosecond (schedstat). /proc/PID/stat drops up to 20 ms of
    each process, which adds up with many."""
    files = [file for pid in pids for file in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9


def cost(pid: int, port: int, rounds: int) -> float:
    """Return the median of some bursts of a second, in CPU microseconds per request."""
    found = []
    members = tree(pid)
    for number in range(rounds + WARM_BURSTS):
        before = spent(members)
        load = wrk.run(port, 1)
        if load.faults:
            print(f"port {port}: {load.faults}", file=sys.stderr)
        if number >= WARM_BURSTS:
            found.append((spent(members) - before) / max(load.requests, 1) * 1e6)
    return median(found)


@contextmanager
def connected(port: int, count: int) -> Iterator[None]:
    """Keep so many connections open, each of which has had an answer."""
    with ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(socket.create_connection((HOST, port), 10))
            client.sendall(REQUEST)
            client.recv(65536)
        yield


def of_workers(counts: Sequence[int], rounds: int) -> None:
    """Print the first table."""
    print("| workers | CPU us/request | MiB |\n| --: | --: | --: |")
    for count in counts:
        port = free_port()
        with running(["taskset", "-c", "0", *pool(count).command(port)], port) as process:
            while len(tree(process.pid)) < count + ABOVE:
                time.sleep(0.1)  # until all are forked, of which there is no event outside
            print(
                f"| {count} | {cost(process.pid, port, rounds):.1f} | {memory_mib(tree(process.pid)):.0f} |", flush=True
            )


def of_idle(counts: Sequence[int], rounds: int) -> None:
    """Print the second table."""
    print("| idle connections | CPU us/request | KiB for each | CPU while all are idle |\n| --: | --: | --: | --: |")
    for count in counts:
        port = free_port()
        with running(["taskset", "-c", "0", *loop().command(port)], port) as process:
            cost(process.pid, port, 1)
            members = tree(process.pid)
            empty = memory_mib(members)
            with connected(port, count):
                each = (memory_mib(members) - empty) * 1024 / count
                before = spent(members)
                time.sleep(IDLE_SECONDS)  # this is what is measured
                idle = (spent(members) - before) / IDLE_SECONDS
                print(f"| {count} | {cost(process.pid, port, rounds):.1f} | {each:.1f} | {idle:.1%} |", flush=True)


def numbers(words: str) -> list[int]:
    return [int(word) for word in words.split(",")]


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description="cost by workers and idle connections")
    parser.add_argument("--workers", type=numbers, default=None, metavar="N,N", help="sizes of pools")
    parser.add_argument("--idle", type=numbers, default=None, metavar="N,N", help="numbers of idle connections")
    parser.add_argument("--rounds", type=int, default=5, help="bursts of a second for each figure (5)")
    options = parser.parse_args(words)
    chosen = options.workers is not None or options.idle is not None
    workers, idle = (options.workers or [], options.idle or []) if chosen else (WORKERS, IDLE)
    try:
        wrk.need()
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if idle and hard != resource.RLIM_INFINITY and max(idle) + SPARE > hard:
            raise Missing(
                f"{max(idle)} connections need {max(idle) + SPARE} descriptors; {hard} are allowed (ulimit -Hn)"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if workers:
            of_workers(workers, options.rounds)
        if idle:
            of_idle(idle, options.rounds)
    except (Missing, NotServing) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{versions(None)}; {options.rounds} bursts of 1 s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
