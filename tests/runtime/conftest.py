"""What tests of connections have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.phase_rig import Step, noted


@pytest.fixture
def steps() -> Iterator[list[Step]]:
    """The transitions between phases that connections have made so far."""
    with noted() as taken:
        yield taken
