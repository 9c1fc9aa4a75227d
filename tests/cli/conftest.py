"""Control sockets for the tests of commands that talk to servers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.answering import AnsweringServers, Make


@pytest.fixture
def control_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where commands look for control sockets; a short path, because that of a unix socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory() as name:
        monkeypatch.setenv("RUNTIME_DIRECTORY", name)
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        yield Path(name)


@pytest.fixture
def make(control_folder: Path) -> Iterator[Make]:
    """Create servers that answer what the test wants."""
    with AnsweringServers(control_folder) as servers:
        yield servers.make
