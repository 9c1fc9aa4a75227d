"""After a syntax error in one entry the others are read too, and there are no false findings about that entry."""

from __future__ import annotations

import pytest

from poolctl.assembly.judging.judge import judge
from poolctl.config.diagnostic import Invalid
from poolctl.config.sources import Inputs


def reported(text: str) -> list[str]:
    """Code, line and the first words of all findings."""
    try:
        found = judge(Inputs("<text>", text=text)).errors
    except Invalid as invalid:
        found = invalid.diagnostics
    return [f"{each.code} {each.place.span.line + 1} {each.message}" for each in found]


QUOTE, BRACKET = "the quote that opens here is not closed", "the bracket that opens here is not closed"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'name: "shop\napp: demo\nlisten: [1, 2\npool: proces\nqqq: 1\n',
            [f"PC101 1 {QUOTE}", f"PC101 3 {BRACKET}", 'PC205 4 unknown pool "proces"', 'PC203 5 unknown key "qqq"'],
        ),
        (
            "app: {wsgi: shop:app\ntimeouts:\n  idle: 5s\n   head: 3s\nworkers: 4\n",
            [f"PC101 1 {BRACKET}", "PC101 4 this line is indented, but", 'PC203 5 unknown key "workers"'],
        ),
        (
            "# a comment\n\napp: demo\npool: @x\nlimits:\n\tconnections: 3\n",
            ["PC101 4 a value cannot begin with", "PC101 6 a tab is not allowed here"],
        ),
        ("app: demo\npool: [x\nownership: leader/followers\ndispatch: random\n", ["PC101", "PC301 4 under leader"]),
        ('"app": demo\n"pool": [x\n"qqq": 1\n', ["PC101", 'PC203 3 unknown key "qqq"']),
        ("app: demo\r\npool: [x\r\nqqq: 1\r\n", ["PC101", 'PC203 3 unknown key "qqq"']),
    ],
)
def test_further_errors_are_reported(text: str, expected: list[str]) -> None:
    found = reported(text)
    assert [each for each, says in zip(found, expected, strict=True) if not each.startswith(says)] == []


@pytest.mark.parametrize("key", ["app", "pool", "ownership", "listen", "timeouts", "environment", "name", "access_log"])
@pytest.mark.parametrize("wrong", ['"x', "[x", "{x: 1", "@x", "x: y", "\n\tx: 1", "|x\n  y"])
def test_an_unreadable_entry_has_no_other_findings(key: str, wrong: str) -> None:
    others = {"app": "demo", "umask": '"0022"', "preload": "true"}
    lines = [f"{each}: {value}\n" for each, value in others.items() if each != key]
    for text in (f"{key}: {wrong}\n{''.join(lines)}", f"{''.join(lines)}{key}: {wrong}\n"):
        assert [each.split()[0] for each in reported(text)] == ["PC101"], reported(text)


@pytest.mark.parametrize(
    "text",
    [
        "x-common: &common {size: 2}\napp: [demo\npool: *common\nqqq: 1\n",  # an entry may need another one
        "%YAML 1.1\n---\napp: [demo\nqqq: 1\n",
        "- app: [demo\n- qqq: 1\n",
        "{app: demo, pool: [x, qqq: 1\n",
        "app: [demo\n",
    ],
)
def test_dependent_entries_get_only_the_first_error(text: str) -> None:
    assert len(reported(text)) == 1
