"""The files and folders that the pages name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "CONTRIBUTING.md",
    *(ROOT / "docs" / f"{name}.md" for name in ("architecture", "guarantees", "host", "reference")),
]
NAMED = [name for page in PAGES for name in re.findall(r"`((?:[a-z_0-9]+/)+[a-z_0-9]*(?:\.py)?)`", page.read_text())]
PLACES = (ROOT, ROOT / "poolctl", ROOT / "poolctl" / "runtime")


@pytest.mark.parametrize("name", sorted({name for name in NAMED if name.endswith(("/", ".py"))}))
def test_a_named_file_or_folder_exists(name: str) -> None:
    assert any((place / name).exists() for place in PLACES)
