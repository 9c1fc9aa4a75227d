"""The servers to measure: poolctl's topologies, and other servers in a separate virtual environment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.process import HOST

PEERS = ("granian", "uvicorn", "gunicorn", "waitress")  # uvicorn with uvloop and httptools


class Missing(Exception):
    """Something must be installed first; the text says how."""


@dataclass(frozen=True)
class Server:
    """A server. ``command(port)`` starts it in the folder of the apps."""

    name: str
    command: Callable[[int], list[str]]


def own(name: str, file: str, *sets: str) -> Server:
    """Return a topology of this project: a file in bench/apps, with the overrides ``sets``."""

    def command(port: int) -> list[str]:
        options = [word for each in sets for word in ("--set", each)]
        return [sys.executable, "-m", "poolctl", "run", file, "--listen", f"tcp://{HOST}:{port}", *options]

    return Server(f"poolctl {name}", command)


def peer(name: str, program: str, *words: str) -> Server:
    """Return another server. PORT in ``words`` is replaced by the port; ``installed`` makes ``program`` absolute."""
    return Server(name, lambda port: [program, *(word.replace("PORT", str(port)) for word in words)])


def installed(peers: Path | None, wanted: list[Server]) -> list[Server]:
    """Return the servers with their programs in the environment ``peers``; none without one. Raises Missing."""
    if peers is None:
        return []
    return [_installed(peers, server) for server in wanted]


def _installed(peers: Path, server: Server) -> Server:
    program = peers.resolve() / "bin" / server.command(0)[0]
    if not program.exists():
        raise Missing(f"{program} does not exist; `make bench` installs the peers into .venv-bench")
    return Server(server.name, lambda port: [str(program), *server.command(port)[1:]])


def versions(peers: Path | None) -> str:
    """Return the versions of Python and the servers, for the line below a table."""
    words = [f"Python {sys.version.split()[0]}"]
    if peers is not None:
        code = f"from importlib.metadata import version as v; print(', '.join(f'{{p}} {{v(p)}}' for p in {PEERS!r}))"
        python = peers / "bin" / "python"
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=30, check=True)
        words.append(done.stdout.strip())
    return ", ".join(words)
