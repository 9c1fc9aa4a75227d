"""The medium between a front and workers that are threads of its process."""

from __future__ import annotations

from typing import Any, cast

import pytest

from poolctl.runtime.pool.between_threads import BetweenThreads


def test_a_front_that_dies_with_its_workers_cannot_retry() -> None:
    nothing = cast(Any, None)
    with pytest.raises(ValueError, match="die with it"):
        BetweenThreads().lending_front(nothing, nothing, retries=True)
