"""The instructions that a whole server executes per request in user space, in all its processes. Needs valgrind.

    python -m bench.served                             every topology of bench.cost, each kind of load
    python -m bench.served reuse-port --heads varying  one of them, by part of its name
    python -m bench.served . ../other                  beside another tree of this project, which has a .venv

The cost of one request is the difference between two runs with different numbers of them, from 20 clients. The same run
gives the same figure to a percent, whatever else the machine does. Unlike bench.instructions it counts the loop, the
front and the inboxes too, and whatever is compiled.
"""

# ruff: noqa: T201  # a table on stdout is what this program is for

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.cost import OWN
from bench.pair import IDENTICAL, IDENTICAL_NEW, VARYING, VARYING_NEW, Kind, of_tree
from bench.process import APPS, HOST, ROOT, free_port
from bench.servers import Missing, Server, begun

FEW, MANY = 500, 2500  # requests
CLIENTS = 20  # at once
WARM = 40  # requests before those that count
START_SECONDS = 120.0  # valgrind makes everything some fifty times slower
TOTAL = re.compile(r"I\s+refs:\s+([\d,]+)")
KINDS = (IDENTICAL, IDENTICAL_NEW, VARYING, VARYING_NEW)


def request(kind: Kind, number: int) -> bytes:
    """Return a request as wrk sends it, or one with a path, a cookie and an ID of its own."""
    last = b"Connection: close\r\n" if kind.close else b""
    if kind.heads == "identical":
        return b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n%b\r\n" % last
    own = b"%08x%04x" % (number * 2654435761 % 2**32, number % 65536)
    return (
        b"GET /item/%b?page=%d HTTP/1.1\r\nHost: shop.example\r\nAccept: text/html,application/json;q=0.9\r\n"
        b"User-Agent: wrk\r\nCookie: session=%b\r\nX-Request-ID: %b\r\n%b\r\n" % (own, number % 97, own, own, last)
    )


def load(port: int, kind: Kind, count: int) -> None:
    """Send ``count`` requests, and read the responses."""
    clients: list[socket.socket] = []
    sent = 0
    while sent < count:
        if kind.close or not clients:
            clients = [socket.create_connection((HOST, port), START_SECONDS) for _ in range(CLIENTS)]
        for client in clients:
            client.sendall(request(kind, sent))
            sent += 1
        for client in clients:
            got = b""
            while not got.endswith(b"world!"):
                data = client.recv(65536)
                if not data:
                    raise ConnectionError(f"the server closed a connection after {got!r}")
                got += data
            if kind.close:
                client.close()
    for client in clients:
        client.close()


def executed(server: Server, kind: Kind, count: int) -> int:
    """Return the instructions of a server that serves ``count`` requests, from its start to its end."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
        command += ["--trace-children=yes", f"--log-file={folder}/%p", *server.command(port)]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
        with subprocess.Popen(
            command, cwd=APPS, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                until = time.monotonic() + START_SECONDS
                while not _accepts(port):
                    if process.poll() is not None or time.monotonic() > until:
                        raise Missing(f"{server.name} does not start under valgrind")
                    time.sleep(0.2)  # between attempts to connect; there is no event to wait for
                load(port, kind, WARM)
                load(port, kind, count)
                process.terminate()
                process.wait(START_SECONDS)
            finally:
                process.kill()
        totals = [TOTAL.search(path.read_text()) for path in Path(folder).iterdir()]
        return sum(int(found[1].replace(",", "")) for found in totals if found)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), 1).close()
    except OSError:
        return False
    return True


def per_request(server: Server, kind: Kind) -> float:
    """Return the instructions of one request."""
    with ThreadPoolExecutor(2) as both:
        few, many = both.map(lambda count: executed(server, kind, count), (FEW, MANY))
    return (many - few) / (MANY - FEW)


def unqueued(server: Server, folder: Path) -> Server:
    """Return the server of a tree as it is where requests are short: under valgrind they take some milliseconds, and
    the front would keep most of them in its queue."""
    made = of_tree(server, folder)
    if "half-sync/half-reactive" in server.name and (folder / "poolctl" / "config" / "overload.py").exists():
        made = begun(made, lambda command: [*command, "--set", "overload=off"])
    return made


def main(words: Sequence[str] | None = None) -> int:
    """Print a table with a row for each topology and kind of load, and a column for each tree."""
    parser = argparse.ArgumentParser(prog="python -m bench.served", description="instructions per request")
    parser.add_argument("words", nargs="*", help="parts of names of rows of bench.cost; folders of trees")
    parser.add_argument("--heads", choices=("identical", "varying"), help="what requests look like (both)")
    options = parser.parse_args(words)
    if shutil.which("valgrind") is None:
        print("error: valgrind not found; on Debian: apt-get install valgrind", file=sys.stderr)
        return 2
    folders = [Path(word) for word in options.words if Path(word).is_dir()] or [ROOT]
    names = [word for word in options.words if not Path(word).is_dir()]
    rows = [server for server in OWN if not names or any(name in server.name for name in names)]
    print(f"| instructions per request | load | {' | '.join(folder.resolve().name for folder in folders)} |")
    print(f"| --- | --- |{' --: |' * len(folders)}")
    try:
        for server in rows:
            for kind in KINDS:
                if options.heads in (None, kind.heads):
                    found = [per_request(unqueued(server, folder), kind) for folder in folders]
                    print(f"| {server.name} | {kind} | {' | '.join(f'{each:,.0f}' for each in found)} |", flush=True)
    except Missing as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
