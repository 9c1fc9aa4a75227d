"""The fenced blocks of the documentation, in order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"# ([\w.-]+\.(?:yaml|py))\n")


@dataclass(frozen=True)
class Block:
    """One fenced block. ``name``: the file that its first line says it is, or empty."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        found = _NAME.match(self.text)
        return found[1] if found else ""

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The blocks of one page."""
    text = page.read_text()
    return [Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2]) for found in _FENCE.finditer(text)]


def write_files(page: Path, folder: Path) -> None:
    """Put the named YAML and Python blocks of a page side by side, as a reader would."""
    for block in blocks(page):
        if block.name:
            (folder / block.name).write_text(block.text)


VARIES = [  # what a machine or a moment decides
    (re.compile(r"\b\d+\.\d+ ?s\b"), "N s"),
    (re.compile(r"\(pid \d+\)"), "(pid N)"),
    (re.compile(r"^from: \S*/", re.MULTILINE), "from: "),
]


def compare(printed: str, shown: str) -> None:
    """Is all of it as shown, or as far as the three dots?"""
    for pattern, stands in VARIES:
        printed, shown = pattern.sub(stands, printed), pattern.sub(stands, shown)
    if shown.endswith("\n...\n"):
        assert printed.startswith(shown.removesuffix("...\n"))
    else:
        assert printed == shown


def before(block: Block) -> str:
    """The YAML file that was shown last before a block."""
    shown = [each.name for each in blocks(block.page) if each.line < block.line and each.name.endswith(".yaml")]
    return shown[-1]


BLOCKS = [block for page in PAGES for block in blocks(page)]
