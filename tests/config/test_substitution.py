"""Environment variables in values: the forms, the types, and the findings about missing ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from poolctl.config.diagnostic import Diagnostic
from poolctl.config.gather import gather
from poolctl.config.sources import Inputs
from poolctl.config.tree import Tree


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"A": "a", "N": "7", "EMPTY": "", "YES": "true", "NULL": "null", "YAML": "[1, 2]: {"}.items():
        monkeypatch.setenv(name, value)
    for name in ("UNSET", "NOPE"):
        monkeypatch.delenv(name, raising=False)


def tree(folder: Path, text: str) -> Tree:
    file = folder / "shop.yaml"
    file.write_text(text)
    return gather(Inputs(str(file)))


def value(folder: Path, text: str) -> Any:
    found = tree(folder, f"key: {text}\n")
    assert found.findings == []
    return found.value()["key"]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("${A}", "a"),
        ("x${A}y${A}z", "xayaz"),
        ("${N}", 7),
        ("'${N}'", "7"),
        ('"${N}"', "7"),
        ("1${N}", 17),
        ("${YES}", True),
        ("'${YES}'", "true"),
        ("${NULL}", None),
        ("${EMPTY}", None),
        ("'${EMPTY}'", ""),
        ("${UNSET:-b}", "b"),
        ("${EMPTY:-b}", "b"),
        ("${A:-b}", "a"),
        ("${UNSET:-}", None),
        ("${UNSET:-8000}", 8000),
        ('"${UNSET:-a: b}"', "a: b"),
        ("${A:?it has to be}", "a"),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("a$$b", "a$b"),
        ("$A", "$A"),
        ("5$", "5$"),
        ("${YAML}", "[1, 2]: {"),
        ("|\n  x ${A}\n  y\n", "x a\ny\n"),
    ],
)
def test_forms(tmp_path: Path, text: str, meant: object) -> None:
    found = value(tmp_path, text)
    assert found == meant
    assert type(found) is type(meant)


def test_keys_are_left_alone(tmp_path: Path) -> None:
    assert tree(tmp_path, "'${A}': ${A}").value() == {"${A}": "a"}


def test_a_variable_behind_an_alias_is_substituted_once(tmp_path: Path) -> None:
    assert tree(tmp_path, "x: &x $$${A}\ny: *x").value() == {"x": "$a", "y": "$a"}


def marked(finding: Diagnostic) -> str:
    span = finding.place.span
    return finding.place.source.line(span.line)[span.column : span.end_column]


@pytest.mark.parametrize(
    ("text", "code", "at", "says"),
    [
        ("${UNSET}", "PC111", "${UNSET}", "the variable UNSET is not set"),
        ("tcp://${A}:${UNSET}", "PC111", "${UNSET}", "the variable UNSET is not set"),
        ("${UNSET:?say which}", "PC111", "${UNSET:?say which}", "the variable UNSET is not set: say which"),
        ("${EMPTY:?say which}", "PC111", "${EMPTY:?say which}", "say which"),
        ("${A", "PC112", "${A", "no closing brace"),
        ("${A-b}", "PC112", "${A-b}", "is not a valid substitution"),
        ("${}", "PC112", "${}", "is not a valid substitution"),
        ("'${A:-${N}}'", "PC112", "${A:-$", "cannot be nested"),
        ('"\\t${UNSET}"', "PC111", "${UNSET}", "is not set"),
    ],
)
def test_what_cannot_be_substituted(tmp_path: Path, text: str, code: str, at: str, says: str) -> None:
    (finding,) = tree(tmp_path, f"app: demo\nkey: {text}\n").findings
    assert (finding.code, marked(finding)) == (code, at)
    assert says in finding.message


def test_all_missing_variables_are_reported_at_once(tmp_path: Path) -> None:
    found = tree(tmp_path, "a: ${UNSET} ${NOPE} ${UNSET}\nb: [${UNSET:-1}, '${NOPE}']\n".replace("[${UNSET:-1}, ", "["))
    assert [(each.place.span.line, each.place.span.column) for each in found.findings] == [
        (0, 3),
        (0, 12),
        (0, 20),
        (1, 5),
    ]


def test_undecodable_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", "a\udcff")
    (finding,) = tree(tmp_path, "name: ${A}").findings
    assert (finding.code, marked(finding)) == ("PC112", "${A}")


def test_variables_that_exceed_the_size_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", "a" * 60_000)
    codes = {finding.code for finding in tree(tmp_path, "x: ${A}\ny: ${A}\n").findings}
    assert codes == {"PC108"}


def test_the_tree_knows_the_variables_of_a_value(tmp_path: Path) -> None:
    found = tree(tmp_path, "a: {b: 'x${A}${N}'}\nc: d\n")
    assert found.variables(("a", "b")) == ("A", "N")
    assert found.variables(("c",)) == ()
