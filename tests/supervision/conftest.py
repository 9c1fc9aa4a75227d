"""Makes the modules in this folder importable, and starts servers for the tests."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from supervising import PATIENCE, SupervisedServer  # importable from here on


@pytest.fixture
def start() -> Iterator[Callable[..., SupervisedServer]]:
    """Start servers; whatever a test does to them, their processes are gone afterwards."""
    servers: list[SupervisedServer] = []

    def start(**options: object) -> SupervisedServer:
        servers.append(SupervisedServer(**options))
        return servers[-1]

    yield start
    for server in servers:
        server.process.kill()
        server.process.wait(PATIENCE)
        for group in server.groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        server.events_to_the_end()
        for pipe in (server.process.stdout, server.process.stderr, *server.clients):
            assert pipe
            pipe.close()
