"""Every code once, with its location (0-based line and columns) and its message."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from poolctl.config.codes import CODES
from poolctl.config.diagnostic import Diagnostic, Place, SourceText, Span
from poolctl.config.loader import MAX_BYTES

APP = "app: demo\n"


class Case(NamedTuple):
    code: str
    text: str | bytes
    span: tuple[int, int, int]  # line, column, end column
    says: str


CASES = [
    Case("PC101", "app: [demo\npool: thread", (0, 5, 6), "the bracket that opens here is not closed"),
    Case("PC101", "app:\n\tdemo", (1, 0, 1), "a tab"),
    Case("PC101", "app: *nobody", (0, 5, 12), "nobody"),
    Case("PC102", b"app: demo\nname: \xff", (1, 6, 7), "byte 16 is not UTF-8 (0xff)"),
    Case("PC102", "app: demo\nname: a\x07b", (1, 7, 8), "U+0007"),
    Case("PC102", 'app: demo\nname: "a\\ud800"', (1, 6, 15), "a character that is not allowed"),
    Case("PC102", 'app: demo\nx-a: {"\\0": 1}', (1, 6, 10), "a character that is not allowed"),
    Case("PC103", "#" * (MAX_BYTES + 1), (0, 0, 1), "larger than 64 KiB"),
    Case("PC104", "app: demo\npool: thread\npool: process", (2, 0, 4), 'duplicate key "pool" (lines 2 and 3)'),
    Case("PC105", APP + "name: !!python/name:os.system x", (1, 6, 31), "python/name:os.system"),
    Case("PC105", APP + "backlog: !!int abc", (1, 9, 18), '"abc" is not a valid !!int'),
    Case("PC105", APP + "x-a: !mine {}", (1, 5, 13), '"!mine"'),
    Case("PC106", "app: demo\n---\napp: echo", (1, 0, 3), "second document"),
    Case("PC107", "app: demo\nx-a: &a [*a]", (1, 5, 12), "alias to itself"),
    Case("PC108", "a: " + "[" * 70, (0, 67, 68), "nested more than 64"),
    Case("PC108", APP + "backlog: " + "9" * 41, (1, 9, 50), "more than 40 digits"),
    Case("PC109", "app: demo\n[1]: 2", (1, 0, 3), "plain string"),
    Case("PC109", "app: demo\nx-a: {<<: {}}", (1, 6, 8), "merge key"),
    Case("PC201", "- app", (0, 0, 5), "a topology is a mapping of keys, not a list"),
    Case("PC201", "", (0, 0, 0), "the file is empty"),
    Case("PC201", "app: demo\npool: 4", (1, 6, 7), 'pool: expected a name or a mapping with the key "kind", not 4'),
    Case("PC201", "app:\npool: thread", (0, 0, 3), "app: expected a name"),
    Case("PC202", "name: shop", (0, 0, 10), 'missing key "app"'),
    Case("PC202", "app: {target: x}", (0, 6, 12), "no key names an app"),
    Case("PC202", "app: demo\ndispatch: {choices: 2}", (1, 0, 8), 'missing key "use"'),
    Case("PC203", "app: demo\npol: thread", (1, 0, 3), 'unknown key "pol"'),
    Case("PC203", "app: demo\nlimits: {waitin: 2}", (1, 9, 15), 'unknown key "waitin" in limits'),
    Case("PC204", "app: demo\npreload: yes", (1, 9, 12), 'preload: expected true or false, not "yes"'),
    Case("PC204", "app: demo\nbacklog: 0", (1, 9, 10), "backlog: expected at least 1, not 0"),
    Case("PC204", "app: demo\nbacklog: '4'", (1, 9, 12), 'backlog: expected a whole number, not "4"'),
    Case("PC204", "app: demo\nlimits: 3", (1, 8, 9), "limits: expected a mapping of keys, not 3"),
    Case("PC204", "app: demo\ntimeouts:\n  idle: 1d", (2, 8, 10), "expected a time such as"),
    Case(
        "PC204",
        "app: demo\ntimeouts: {idle: 0}",
        (1, 17, 18),
        "timeouts.idle: expected a time of more than 0 and at most 24h, not 0",
    ),
    Case("PC204", "app: demo\nname: my shop", (1, 6, 13), "name: expected"),
    Case("PC204", "app: demo\nlisten: []", (1, 8, 10), "listen: expected at least one, not an empty list"),
    Case("PC204", "app: {wsgi: a:b, lines: c:d}", (0, 17, 22), "wsgi and lines are mutually exclusive"),
    Case("PC204", "app: {wsgi: a:b, target: c:d}", (0, 17, 23), "duplicate target"),
    Case("PC204", "app: {static: a, folder: b}", (0, 17, 23), "duplicate folder"),
    Case("PC204", "app: demo\npool: {kind: 3}", (1, 13, 14), "pool.kind: expected a name, not 3"),
    Case("PC206", "app: demo\nlisten: [tcp://a:1, 8000]", (1, 20, 24), "listen: expected an address of the form"),
    Case("PC206", "app: demo\nlisten: localhost", (1, 8, 17), 'listen: "localhost" is not an address'),
    Case("PC302", "app: demo\nlisten: [unix:///a, unix:///a]", (1, 20, 29), "duplicate address unix:///a"),
]


def _id(case: Case) -> str:
    return f"{case.code}-{case.says[:30]}"


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_code_and_place(case: Case, findings) -> None:
    (found,) = findings(case.text)
    span = found.place.span
    assert (found.code, (span.line, span.column, span.end_column)) == (case.code, case.span), found.render()
    assert case.says in found.message
    assert found.render().count("^") >= bool(found.place.source.text)


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("backlog", 6, "not of the form KEY=VALUE"),
        ("=3", 6, "not of the form KEY=VALUE"),
        ("pool..size=3", 6, "not of the form KEY=VALUE"),
        ("listen.host=3", 6, "is a list"),
    ],
)
def test_a_set_that_cannot_be_applied(text: str, column: int, says: str, findings) -> None:
    (found,) = findings("app: demo\nlisten: [tcp://a:1]", [text])
    assert (found.code, found.place.span.column) == ("PC110", column)
    assert says in found.message
    assert str(found.place) == f"--set {text}"


@pytest.mark.parametrize(("sets", "listen"), [(["na\udcffme=x"], []), (["name=\udcff"], []), ([], ["\udcff"])])
def test_undecodable_bytes_on_the_command_line(sets: list[str], listen: list[str], findings) -> None:
    (found,) = findings("app: demo", sets, listen)
    assert (found.code, found.render().count("\udcff")) == ("PC102", 0)
    assert found.place.source.text[found.place.span.column] == "\udcff"


def test_every_code_has_a_case() -> None:
    elsewhere = {"PC110", "PC100", "PC111", "PC112"} | {"PC205", "PC207", "PC208", "PC209", "PC301"}
    assert {case.code for case in CASES} | elsewhere == {code for code in CODES if code < "PC4"}


def test_all_at_once_in_the_order_of_the_file(findings) -> None:
    text = "pool: 4\nlimits: {connections: 0, waitin: 1}\npreload: maybe\nnme: x\nlisten: [a, b]\n"
    found = findings(text)
    places = [(each.code, each.place.span.line, each.place.span.column) for each in found]
    assert places == [
        ("PC202", 0, 0),
        ("PC201", 0, 6),
        ("PC204", 1, 22),
        ("PC203", 1, 25),
        ("PC204", 2, 9),
        ("PC203", 3, 0),
        ("PC206", 4, 9),
        ("PC206", 4, 12),
    ]


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("app: demo\nafinity: x", 'did you mean "affinity"?'),
        ("app: demo\ntimeouts: {heads: 1}", 'did you mean "head"?'),
        ("app: demo\ntimeouts: {zz: 1}", "use one of the keys head, idle, write, body, request, notice, drain, stream"),
        ("app: {wsgy: a:b}", 'did you mean "wsgi"?'),
        ("app: {use: demo}\npool: thread\npool: thread", "keep one of the two"),
    ],
)
def test_help(text: str, fix: str, findings) -> None:
    assert findings(text)[0].help == fix


def test_rendering() -> None:
    source = SourceText("shop.yaml", "app: demo\npol: thread\n")
    found = Diagnostic("PC203", 'unknown key "pol"', Place(source, Span(1, 0, 1, 3)), 'did you mean "pool"?')
    assert found.render() == (
        'error[PC203]: unknown key "pol"\n'
        "  --> shop.yaml:2:1\n"
        "   |\n"
        " 2 | pol: thread\n"
        "   | ^^^\n"
        '   = help: did you mean "pool"?'
    )


def test_rendering_shows_both_lines_of_a_duplicate(findings) -> None:
    lines = findings("app: demo\npool: thread\n\npool: process\n")[0].render().split("\n")
    assert lines[3:8] == [" 2 | pool: thread", "   | ---- first given here", "...", " 4 | pool: process", "   | ^^^^"]


def test_rendering_keeps_tabs_and_replaces_control_characters() -> None:
    source = SourceText("a\x1b[2Jb", "a:\t\x1b[31mx")
    text = Diagnostic("PC204", "no\x1b", Place(source, Span(0, 3, 0, 4))).render()
    assert "\x1b" not in text
    assert text.endswith(" 1 | a:\t\ufffd[31mx\n   |   \t^")


def test_rendering_of_windows_line_ends(findings) -> None:
    found = findings("app: demo\r\npol: thread\r\n")[0]
    assert (found.place.span.line, found.place.span.column) == (1, 0)
    assert " 2 | pol: thread\n" in found.render()
