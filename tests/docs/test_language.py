"""Every word and every key of the language is explained, and every link leads somewhere."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import BaseModel

from poolctl.assembly.fitting.combination import ACCEPTS, LOCKS
from poolctl.assembly.registry import REGISTRY, part_class
from poolctl.config.model import Choice, Topology
from poolctl.description.sentences import FREE_THREAD, ONE_INTERPRETER
from poolctl.runtime.scoreboard import BUCKETS, ROW

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
README = (ROOT / "README.md").read_text()


def section(heading: str, page: str = REFERENCE) -> str:
    """The text below a heading, up to the next one of its rank or a higher one."""
    rank = heading.count("#")
    _, found, rest = f"\n{page}".partition(f"\n{heading}\n")
    assert found, f"the page has no heading {heading!r}"
    return re.split(rf"^#{{1,{rank}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(text: str) -> list[str]:
    """What the rows of its tables are about."""
    return [row[1].strip() for row in re.finditer(r"^\| ([^|]*)\|", text, re.MULTILINE)]


WORDS = [(axis, word) for axis, words in REGISTRY.items() for word in words]


@pytest.mark.parametrize(("axis", "word"), WORDS)
def test_every_word_has_its_row(axis: str, word: str) -> None:
    assert f"`{word}`" in first_cells(section(f"### {axis.capitalize()}"))


@pytest.mark.parametrize(("axis", "word"), WORDS)
def test_every_word_is_on_the_first_page(axis: str, word: str) -> None:
    assert f"`{word}`" in README


@pytest.mark.parametrize(("axis", "word"), WORDS)
def test_every_option_is_explained(axis: str, word: str) -> None:
    text = section(f"### {axis.capitalize()}")
    for field in fields(part_class(axis, word)):
        if field.init:
            assert re.search(rf"`{field.name}[`:]", text), f"{axis} {word}: {field.name}"


@pytest.mark.parametrize("option", [*(f"accept: {word}" for word in ACCEPTS), *(f"lock: {word}" for word in LOCKS)])
def test_every_option_of_ownership_has_its_row(option: str) -> None:
    assert f"`{option}`" in first_cells(section("### Ownership"))


@pytest.mark.parametrize("sentence", [FREE_THREAD, ONE_INTERPRETER])
def test_the_page_says_what_init_and_explain_say(sentence: str) -> None:
    assert sentence in " ".join(section("### Dispatch").split())


def keys() -> list[str]:
    """The keys of the model, dotted where they are nested."""
    found = []
    for key, field in Topology.model_fields.items():
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            found += [f"{key}.{inner}" for inner in nested.model_fields]
        else:
            found.append(key)
    return found


@pytest.mark.parametrize("key", keys())
def test_every_key_has_its_row(key: str) -> None:
    assert f"`{key}`" in first_cells(section("## Keys of a topology"))


def test_the_table_of_keys_has_no_other() -> None:
    cells = first_cells(section("## Keys of a topology"))[2:]
    assert cells == [f"`{key}`" for key in sorted(keys(), key=[cell.strip("`") for cell in cells].index)]


def test_every_cell_of_the_scoreboard_is_explained() -> None:
    source, _, states = (ROOT / "poolctl" / "runtime" / "scoreboard.py").read_text().partition("# values of STATE")
    assert "READY" in states
    cells = set(re.findall(r"^([A-Z]+): Final = \d+(?:  # .*)?$", source, re.MULTILINE)) - {"BUCKETS", "ROW"}
    explained = " ".join(first_cells(section("## The scoreboard", ARCHITECTURE)))
    assert {"SENT", "TICKET", "SECONDS", "FAULTS"} < cells
    assert set(re.findall(r"`([A-Z]+)`", explained)) == cells
    assert f"a row of {ROW} cells" in section("## The scoreboard", ARCHITECTURE)
    assert f"{BUCKETS} cells" in section("## The scoreboard", ARCHITECTURE)


def test_defaults_are_those_of_the_code() -> None:
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| ([^|]*?) \|", section("## Keys of a topology"), re.MULTILINE))
    topology = Topology(name="shop", app=Choice("demo"))
    for key in keys():
        owner, _, name = key.rpartition(".")
        value = getattr(getattr(topology, owner) if owner else topology, name)
        if isinstance(value, bool):
            assert rows[key] == f"`{str(value).lower()}`"
        elif isinstance(value, int | float):
            assert rows[key].removesuffix(" s") == f"{value:g}"


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_tables_are_whole(page: Path) -> None:
    """Every row of a table has as many cells as its head."""
    for table in re.findall(r"(?:^\|.*\|$\n?)+", page.read_text(), re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(widths) == 1, table
