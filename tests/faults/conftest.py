"""Servers started by the hundred."""

from __future__ import annotations

import pytest

from faults.models import Start


@pytest.fixture
def serve(launch: Start) -> Start:
    return launch
