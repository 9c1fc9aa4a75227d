"""Every code is explained, by an example that has it and a fix that takes it away."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from poolctl.cli.explain_code import example_findings, explain_code
from poolctl.config.codes import CODES

HOST = [code for code in CODES if code.startswith("PC4")]
NO_FILE = ["PC100", "PC103", "PC209", "PC511"]  # the last two need a plugin beside it
SHOWN = [code for code in CODES if code not in (*HOST, *NO_FILE)]


@pytest.mark.parametrize("code", SHOWN)
def test_its_example_has_it_and_nothing_else(code: str) -> None:
    assert {finding.code for finding in example_findings(CODES[code])} == {code}


@pytest.mark.parametrize("code", [code for code in SHOWN if CODES[code].fixed])
def test_its_fix_takes_it_away(code: str) -> None:
    assert example_findings(CODES[code], CODES[code].fixed) == []


@pytest.mark.parametrize("code", CODES)
def test_it_says_how_it_is_fixed(code: str) -> None:
    """By an example without it, by words, or by the help below the example."""
    text = explain_code(code)
    assert ("How to fix it: " in text) == (code not in SHOWN)
    assert "\nFixed:\n" in text or "How to fix it: " in text or "= help: " in text


@pytest.mark.parametrize("code", CODES)
def test_it_is_explained(code: str) -> None:
    text = explain_code(code)
    assert text.startswith(f"{code}: {CODES[code].title}\n")
    assert (f"[{code}]" in text) == (code in SHOWN)
    assert "/tmp" not in text


def test_every_code_that_is_used_is_explained() -> None:
    """And every one that is explained is used."""
    folder = Path(__file__).parents[2] / "poolctl"
    used = set()
    for file in folder.rglob("*.py"):
        if file.name != "codes.py":
            used |= set(re.findall(r'"(PC\d{3})"', file.read_text()))
    assert used == set(CODES)
