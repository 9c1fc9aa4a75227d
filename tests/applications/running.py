"""A project of its user's own and the topology beside it, served."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
from harness.launcher import LaunchedServer
from harness.machine import PATIENCE, within
from harness.server import Server

# The last line of a traceback that comes of a client that has left, which is no failure of anybody's.
LEFT = re.compile(
    r"^[\w.]*(?:ClientGone|ClientDisconnect|WebSocketDisconnect|ConnectionResetError|BrokenPipeError)\b.*", re.MULTILINE
)
HERE = Path(__file__).parent


def copy(project: str, folder: Path) -> Path:
    """A copy of one of the projects beside this module, with a folder for what it writes."""
    made = folder / project
    shutil.copytree(HERE / project, made, ignore=shutil.ignore_patterns("__pycache__"))
    (made / "data").mkdir()
    return made


def command(project: Path, *words: str, environment: Mapping[str, str]) -> None:
    """Run a command of the project, as its user would before the server. Raises CalledProcessError."""
    variables = {**os.environ, **environment}
    subprocess.run(
        [sys.executable, *words], cwd=project, env=variables, check=True, capture_output=True, timeout=within(60)
    )


@contextlib.contextmanager
def served(topology: str, project: Path, *, tracebacks: bool = False) -> Iterator[Server]:
    """``poolctl run`` on a file with this text, in the folder that has the project; it has to end well."""
    file = project.parent / "topology.yaml"
    file.write_text(topology)
    with LaunchedServer(file, project.parent, tracebacks=tracebacks) as server:
        yield server.ready()
        assert server.stop() == 0, server.log


@contextlib.contextmanager
def browsing(server: Server, **options: object) -> Iterator[httpx.Client]:
    """A client that keeps its connections and cookies. Without ``verify`` it reads no list of authorities, which would
    take longer than most of its requests."""
    base = f"http://127.0.0.1:{server.port}"
    with httpx.Client(base_url=base, verify=False, trust_env=False, timeout=PATIENCE, **options) as client:  # type: ignore[arg-type]
        yield client
