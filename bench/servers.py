"""The servers to measure: poolctl's topologies, and other servers in a separate virtual environment."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from bench.process import HOST

PEERS = ("granian", "uvicorn", "gunicorn", "waitress")  # uvicorn with uvloop and httptools


class Missing(Exception):
    """Something must be installed first; the text says how."""


@dataclass(frozen=True)
class Server:
    """A server. ``command(port)`` starts it in the folder of the apps; ``secure(port)`` does so with TLS, if it can.
    ``tls``: ``command`` does."""

    name: str
    command: Callable[[int], list[str]]
    secure: Callable[[int], list[str]] | None = None
    tls: bool = False

    def over_tls(self) -> Server:
        """Return the same server with TLS. Raises Missing if it has none."""
        if self.secure is None:
            raise Missing(f"{self.name} cannot be measured over TLS")
        return replace(self, command=self.secure, secure=None, tls=True)


@cache
def certificate() -> tuple[str, str]:
    """Make a certificate, for P-256, that lasts until this process ends. Returns its file and that of its key."""
    folder = tempfile.mkdtemp(prefix="poolctl-bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    chain, key = f"{folder}/certificate.pem", f"{folder}/key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    try:
        subprocess.run(
            [*command, "-subj", "/CN=localhost", "-out", chain, "-keyout", key], check=True, capture_output=True
        )
    except FileNotFoundError:
        raise Missing("openssl not found; on Debian: apt-get install openssl") from None
    return chain, key


def own(name: str, file: str, *sets: str) -> Server:
    """Return a topology of this project: a file in bench/apps, with the overrides ``sets``."""

    options = [word for each in sets for word in ("--set", each)]

    def command(port: int) -> list[str]:
        return [sys.executable, "-m", "poolctl", "run", file, "--listen", f"tcp://{HOST}:{port}", *options]

    def secure(port: int) -> list[str]:
        chain, key = certificate()
        listen = f'listen={{at: "tcp://{HOST}:{port}", tls: {{certificate: {chain}, key: {key}}}}}'
        return [sys.executable, "-m", "poolctl", "run", file, "--set", listen, *options]

    return Server(f"poolctl {name}", command, secure)


def peer(name: str, program: str, *words: str, files: tuple[str, str] | None = None) -> Server:
    """Return another server. PORT in ``words`` is replaced by the port; ``installed`` makes ``program`` absolute.
    ``files``: its options for a certificate and its key."""

    def command(port: int) -> list[str]:
        return [program, *(word.replace("PORT", str(port)) for word in words)]

    def secure(port: int) -> list[str]:
        assert files is not None  # otherwise there is no secure command
        options = [word for pair in zip(files, certificate(), strict=True) for word in pair]
        return [program, *options, *command(port)[1:]]

    return Server(name, command, secure if files else None)


def installed(peers: Path | None, wanted: list[Server]) -> list[Server]:
    """Return the servers with their programs in the environment ``peers``; none without one. Raises Missing."""
    if peers is None:
        return []
    return [_installed(peers, server) for server in wanted]


def _installed(peers: Path, server: Server) -> Server:
    program = peers.resolve() / "bin" / server.command(0)[0]
    if not program.exists():
        raise Missing(f"{program} does not exist; `make bench` installs the peers into .venv-bench")
    return begun(server, lambda command: [str(program), *command[1:]])


def begun(server: Server, begin: Callable[[list[str]], list[str]]) -> Server:
    """Return the same server with other commands, which ``begin`` makes of its own."""
    plain, secure = server.command, server.secure
    more = None if secure is None else lambda port: begin(secure(port))
    return replace(server, command=lambda port: begin(plain(port)), secure=more)


def versions(peers: Path | None) -> str:
    """Return the versions of Python and the servers, for the line below a table."""
    words = [f"Python {sys.version.split()[0]}"]
    if peers is not None:
        code = f"from importlib.metadata import version as v; print(', '.join(f'{{p}} {{v(p)}}' for p in {PEERS!r}))"
        python = peers / "bin" / "python"
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=30, check=True)
        words.append(done.stdout.strip())
    return ", ".join(words)
