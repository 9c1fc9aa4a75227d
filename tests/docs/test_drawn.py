"""The tables and pictures that the code decides are those of the code; `make docs` writes them."""

from __future__ import annotations

from pathlib import Path

import drawn
import pytest


@pytest.mark.parametrize("page", [page for page in drawn.PAGES if drawn.DRAWN.search(page.read_text())], ids=str)
def test_a_page_shows_what_the_code_draws(page: Path) -> None:
    assert page.read_text() == drawn.redrawn(page.read_text()), "run `make docs`"


def test_what_nothing_draws_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing draws 'a house'"):
        drawn.redrawn("<!-- drawn: a house -->\n")


def test_what_is_stale_is_drawn_again() -> None:
    text = "Before.\n\n<!-- drawn: rules -->\n\n| axis | stale |\n| --- | --- |\n\nAfter.\n"
    new = drawn.redrawn(text)
    assert "stale" not in new
    assert new.endswith(" |\n\nAfter.\n")
    assert drawn.redrawn(new) == new
