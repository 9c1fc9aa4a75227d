"""Makes the harness importable for all tests: `from harness.server import Server`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness.launcher import LaunchedServer, Launcher, launcher  # importable only now
from harness.server import Server


@pytest.fixture
def serve(typed: Callable[..., Server]) -> Callable[..., Server]:
    """Start topologies; all are ready when they are returned, and all of their processes are gone afterwards."""
    return typed


@pytest.fixture
def typed(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """As people start them, each with an interpreter of its own."""
    servers: list[Server] = []

    def start(topology: Any, **options: Any) -> Server:
        server = Server(topology, tmp_path, **options)
        servers.append(server)
        return server.ready()

    yield start
    for server in servers:
        server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def one_launcher() -> Iterator[Launcher]:
    with launcher() as made:
        yield made


@pytest.fixture
def launch(one_launcher: Launcher, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """As ``serve``, without the start of an interpreter: for servers that are started by the hundred."""
    servers: list[Server] = []

    def start(topology: Any, **options: Any) -> Server:
        server = LaunchedServer(one_launcher, topology, tmp_path, **options)
        servers.append(server)
        return server.ready()

    yield start
    for server in servers:
        server.__exit__(None, None, None)
