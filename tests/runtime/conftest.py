"""What tests of connections have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.phase_rig import Step, noted


@pytest.fixture(autouse=True)
def steps() -> Iterator[list[Step]]:
    """The transitions between phases that connections have made so far. In every test, because each fails at its end
    if one of them was illegal."""
    with noted() as taken:
        yield taken
