"""The files that docs/design.md names are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.findall(r"`((?:poolctl/)?(?:[a-z_0-9]+/)+[a-z_0-9]*(?:\.py)?)`", (ROOT / "docs" / "design.md").read_text())
PLACES = (ROOT, ROOT / "poolctl", ROOT / "poolctl" / "runtime")


@pytest.mark.parametrize("name", sorted({name for name in NAMED if name.endswith(("/", ".py"))}))
def test_a_file_or_folder_that_is_named_is_there(name: str) -> None:
    assert any((place / name).exists() for place in PLACES)
