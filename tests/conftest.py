"""Makes the harness importable for all tests: `from harness.server import Server`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness.launcher import LaunchedServer, Launcher, launcher  # importable only now
from harness.machine import within
from harness.server import Server
from hypothesis import HealthCheck, settings

# Draws are the same in each run, and nothing is judged by its time; make fuzz draws anew.
settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fuzz", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=2000)
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever time a test may take, it is that of a quiet, fast machine."""
    for item in items:
        marker = item.get_closest_marker("timeout")
        seconds = marker.args[0] if marker else float(item.config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(within(seconds)), append=False)


@pytest.fixture
def serve(launch: Callable[..., Server]) -> Callable[..., Server]:
    """Start topologies; all are ready when they are returned, and all of their processes are gone afterwards."""
    return launch


@pytest.fixture
def typed(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """As people start them, each with an interpreter of its own: that costs half a second."""
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
    """Without the start of an interpreter, but those that need a command before theirs."""
    servers: list[Server] = []

    def start(topology: Any, **options: Any) -> Server:
        server = (
            Server(topology, tmp_path, **options)
            if options.get("prefix")
            else LaunchedServer(one_launcher, topology, tmp_path, **options)
        )
        servers.append(server)
        return server.ready()

    yield start
    for server in servers:
        server.__exit__(None, None, None)
