"""Servers whose apps are those of this folder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from harness.server import Server

APPS = Path(__file__).parent / "apps"


@pytest.fixture
def launch(launch: Callable[..., Server]) -> Callable[..., Server]:
    """The modules of ``apps`` can be imported."""
    return partial(launch, path=APPS)
