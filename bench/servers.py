"""What is measured: poolctl's topologies, and other servers from an environment of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.process import HOST

PEERS = ("granian", "uvicorn", "gunicorn", "waitress")  # and uvloop and httptools for uvicorn


class Missing(Exception):
    """Something that has to be installed first; the text says how."""


@dataclass(frozen=True)
class Server:
    """``command(port)`` starts it in the folder of the apps."""

    name: str
    command: Callable[[int], list[str]]


def own(name: str, file: str, *sets: str) -> Server:
    """A topology of this project: a file of bench/apps with ``sets`` put over it."""

    def command(port: int) -> list[str]:
        options = [word for each in sets for word in ("--set", each)]
        return [sys.executable, "-m", "poolctl", "run", file, "--listen", f"tcp://{HOST}:{port}", *options]

    return Server(f"poolctl {name}", command)


def peer(name: str, program: str, *words: str) -> Server:
    """Another server. In ``words`` PORT stands for the port; ``program`` is made absolute by ``found``."""
    return Server(name, lambda port: [program, *(word.replace("PORT", str(port)) for word in words)])


def found(peers: Path | None, wanted: list[Server]) -> list[Server]:
    """The peers with their programs in the environment ``peers``; none without one. Raises Missing."""
    if peers is None:
        return []
    return [_found(peers, server) for server in wanted]


def _found(peers: Path, server: Server) -> Server:
    program = peers.resolve() / "bin" / server.command(0)[0]
    if not program.exists():
        raise Missing(f"{program} is missing; `make bench` installs the peers into .venv-bench")
    return Server(server.name, lambda port: [str(program), *server.command(port)[1:]])


def versions(peers: Path | None) -> str:
    """The versions of what is measured, for the line below a table."""
    words = [f"Python {sys.version.split()[0]}"]
    if peers is not None:
        code = f"from importlib.metadata import version as v; print(', '.join(f'{{p}} {{v(p)}}' for p in {PEERS!r}))"
        python = peers / "bin" / "python"
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=30, check=True)
        words.append(done.stdout.strip())
    return ", ".join(words)
