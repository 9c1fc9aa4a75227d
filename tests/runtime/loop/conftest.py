"""A loop with a fake poller and a fake clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.loop_rig import LoopRig


@pytest.fixture
def rig() -> Iterator[Callable[..., LoopRig]]:
    made: list[LoopRig] = []

    def make(*args: Any, **options: Any) -> LoopRig:
        made.append(LoopRig(*args, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()
