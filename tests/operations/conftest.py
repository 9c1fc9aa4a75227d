"""Hosts on which somebody else runs the server."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def name() -> str:
    """A name for this test alone: commands find all servers of the user, those of other tests too."""
    return f"s{uuid.uuid4().hex[:8]}"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path
