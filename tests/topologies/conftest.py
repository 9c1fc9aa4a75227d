"""Servers started by the hundred."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.launcher import LaunchedServer, Launcher, launcher

APPS = Path(__file__).parent / "apps"


@pytest.fixture(scope="session")
def one_launcher() -> Iterator[Launcher]:
    with launcher() as made:
        yield made


@pytest.fixture
def launch(one_launcher: Launcher, tmp_path: Path) -> Iterator[Callable[..., LaunchedServer]]:
    """As the fixture serve, without the start of an interpreter; the modules of ``apps`` can be imported."""
    servers: list[LaunchedServer] = []

    def start(topology: Any, **options: Any) -> LaunchedServer:
        server = LaunchedServer(one_launcher, topology, tmp_path, path=APPS, **options)
        servers.append(server)
        server.ready()
        return server

    yield start
    for server in servers:
        server.__exit__(None, None, None)
