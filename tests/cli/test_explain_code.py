"""Every code is explained, with an example that has the finding and a fix that removes it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from poolctl.cli.explain_code import example_findings, explain_code
from poolctl.config.codes import CODES

HOST = [code for code in CODES if code.startswith("PC4")]
NO_FILE = ["PC100", "PC103", "PC209", "PC511"]  # the last two need a plugin in the folder
SHOWN = [code for code in CODES if code not in (*HOST, *NO_FILE)]


@pytest.mark.parametrize("code", SHOWN)
def test_the_example_has_only_this_finding(code: str) -> None:
    assert {finding.code for finding in example_findings(CODES[code])} == {code}


@pytest.mark.parametrize("code", [code for code in SHOWN if CODES[code].fixed])
def test_the_fix_removes_the_finding(code: str) -> None:
    assert example_findings(CODES[code], CODES[code].fixed) == []


@pytest.mark.parametrize("code", CODES)
def test_the_fix_is_explained(code: str) -> None:
    """By an example without the finding, in words, or by the help below the example."""
    text = explain_code(code)
    assert ("How to fix it: " in text) == (code not in SHOWN)
    assert "\nFixed:\n" in text or "How to fix it: " in text or "= help: " in text


@pytest.mark.parametrize("code", CODES)
def test_the_code_is_explained(code: str) -> None:
    text = explain_code(code)
    assert text.startswith(f"{code}: {CODES[code].title}\n")
    assert (f"[{code}]" in text) == (code in SHOWN)
    assert "/tmp" not in text


def test_every_code_that_is_used_is_explained() -> None:
    """And every code that is explained is used."""
    folder = Path(__file__).parents[2] / "poolctl"
    used = set()
    for file in folder.rglob("*.py"):
        if file.name != "codes.py":
            used |= set(re.findall(r'"(PC\d{3})"', file.read_text()))
    assert used == set(CODES)
