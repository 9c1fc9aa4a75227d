"""The files and folders that the pages name exist, and the exact walks of a request are short."""

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


MOST = 14  # files that a reader opens to follow a request
LOOP = "ownership/half_sync_half_reactive/front.py"  # a front is a loop: what it gives away comes back to it


@pytest.mark.parametrize("heading", ["half-sync/half-reactive with processes", "An ASGI app that owns its connections"])
def test_a_walk_names_few_files_and_none_twice_but_the_loop(heading: str) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    section = page.partition(f"\n### {heading}\n")[2].partition("\n### ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if re.match(r"\|.*\.py` \|", line)]
    files = [re.findall(r"`([\w/]+\.py)`", " | ".join(cells[:-1])) for cells in rows]
    assert all(len(named) == 1 for named in files)
    walk = [named[0] for named in files]
    assert 10 <= len(set(walk)) <= MOST
    assert [name for name in set(walk) if walk.count(name) > 1 and name != LOOP] == []
    assert all((ROOT / "poolctl" / "runtime" / name).exists() for name in walk)
