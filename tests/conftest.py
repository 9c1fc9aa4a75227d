"""Makes the harness importable for all tests: `from harness.server import Server`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness.server import Server  # importable only now


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start topologies; all are ready when they are returned, and all of their processes are gone afterwards."""
    servers: list[Server] = []

    def start(topology: Any, **options: Any) -> Server:
        server = Server(topology, tmp_path, **options)
        servers.append(server)
        return server.ready()

    yield start
    for server in servers:
        server.__exit__(None, None, None)
