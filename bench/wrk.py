"""Runs wrk on one core, as the load generator of the benchmarks, and parses its report."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.process import HOST
from bench.servers import Missing

NEEDED = {"wrk": "wrk", "taskset": "util-linux"}  # program: Debian package
SCRIPT = Path(__file__).with_name("heads.lua")
# What requests look like: the same bytes each time, as wrk sends them by itself; or as heads.lua describes.
HEADS = ("identical", "varying", "browser")
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True)
class Load:
    """One run of wrk. ``faults``: its lines about errors and about statuses other than 2xx and 3xx, if any."""

    requests: int
    per_second: float
    p99: float  # milliseconds
    faults: str


def need() -> None:
    """Raise Missing if a program is not installed, with its name."""
    missing = [program for program in NEEDED if shutil.which(program) is None]
    if missing:
        packages = " ".join(NEEDED[program] for program in missing)
        raise Missing(f"{' and '.join(missing)} not found; on Debian: apt-get install {packages}")


def run(
    port: int,
    seconds: float,
    *,
    connections: int = 32,
    close: bool = False,
    heads: str = "identical",
    tls: bool = False,
) -> Load:
    """Load http://127.0.0.1:port/ from core 1. ``close``: open a new connection for each request; ``heads``: one of
    HEADS; ``tls``: over https."""
    whole = max(1, round(seconds))  # wrk accepts only whole seconds
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{whole}s", "--latency"]
    command += _request(f"http{'s' if tls else ''}://{HOST}:{port}/", heads, close=close)
    done = subprocess.run(command, capture_output=True, text=True, timeout=whole + 30, check=True)
    return parse(done.stdout)


def _request(url: str, heads: str, *, close: bool) -> list[str]:
    if heads == "identical":
        return [*(["-H", "Connection: close"] if close else []), url]
    return ["-s", str(SCRIPT), url, "--", heads, *(["close"] if close else [])]


def parse(report: str) -> Load:
    """Parse a report. Raises ValueError if it lacks a figure."""
    requests = re.search(r"(\d+) requests in", report)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", report)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s|m)\b", report)
    if not (requests and rate and p99):
        raise ValueError(f"not a report of wrk --latency:\n{report}")
    faults = "; ".join(line.strip() for line in re.findall(r"Socket errors:.*|Non-2xx.*", report))
    return Load(int(requests[1]), float(rate[1]), float(p99[1]) * UNITS[p99[2]], faults)
