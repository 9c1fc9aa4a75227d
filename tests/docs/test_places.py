"""The files and folders that the pages name exist; the walks of a request are short, and say where they return."""

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
NUMBERS = dict(enumerate(["no", "one", "two", "three", "four", "five", "six", "seven", "eight"]))


@pytest.mark.parametrize("heading", ["half-sync/half-reactive with processes", "An ASGI app that owns its connections"])
def test_a_walk_opens_few_files_and_says_where_it_returns_to_one(heading: str) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    section = page.partition(f"\n### {heading}\n")[2].partition("\n### ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if re.match(r"\|.*\.py` \|", line)]
    walk = [(*re.findall(r"`([\w/]+\.py)`", " | ".join(cells[:-1])), cells[-1].startswith("again")) for cells in rows]
    assert all(len(step) == 2 for step in walk)  # one file to a row
    opened = [file for file, again in walk if not again]
    assert 10 <= len(opened) <= MOST
    assert len(set(opened)) == len(opened)
    for number, (file, again) in enumerate(walk):
        assert again == (file in [earlier for earlier, _ in walk[:number]])
    assert all((ROOT / "poolctl" / "runtime" / file).exists() for file in opened)
    said = re.search(r"The walk has (\d+) files; (\w+) rows return", section)
    assert said
    assert (int(said[1]), said[2]) == (len(opened), NUMBERS[len(walk) - len(opened)])
