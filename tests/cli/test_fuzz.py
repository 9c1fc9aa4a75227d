"""Whatever a file says, its author gets findings with places inside it: no traceback, in every format, in 200 ms."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poolctl.assembly.judge import judge
from poolctl.cli.validate import Form, validate
from poolctl.config.codes import CODES
from poolctl.config.diagnostic import Diagnostic, Invalid
from poolctl.config.loader import MAX_BYTES
from poolctl.config.sources import Inputs

ROOT = Path(__file__).parents[2]
GALLERY = [file.read_text() for file in sorted((ROOT / "topologies").glob("*.yaml"))]
BROKEN = [file.read_bytes().decode("latin-1") for file in sorted((ROOT / "tests" / "broken").glob("*.yaml"))]
LONGEST = 0.2  # seconds of processor time for one file
relaxed = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=120
)
PIECES = [
    *"{}[]:,#&*!|>'\"%@`-?~$=. \n\t\r\x00\x85\u2028é楽",
    "${A}",
    "${",
    "$$",
    "<<: ",
    "--- ",
    "  ",
    "0x",
    "1e9",
    ".inf",
    "null",
]

Mutation = Callable[[str], str]


@st.composite
def mutations(draw: st.DrawFn) -> Mutation:
    """One small change at some place of a text, as an editor or a bad merge makes it."""
    kind = draw(st.sampled_from(["insert", "delete", "replace", "line twice", "line away", "indent", "swap", "cut"]))
    where, length = draw(st.floats(0, 1)), draw(st.integers(1, 12))
    piece = draw(st.sampled_from(PIECES))

    def mutate(text: str) -> str:
        at = int(where * len(text))
        lines = text.split("\n")
        line = int(where * (len(lines) - 1))
        if kind == "insert":
            return text[:at] + piece + text[at:]
        if kind == "delete":
            return text[:at] + text[at + length :]
        if kind == "replace":
            return text[:at] + piece + text[at + len(piece) :]
        if kind == "cut":
            return text[:at]
        if kind == "indent":
            lines[line] = " " * length + lines[line]
        elif kind == "line twice":
            lines.insert(line, lines[line])
        elif kind == "line away":
            del lines[line]
        else:
            lines[line], lines[-1 - line] = lines[-1 - line], lines[line]
        return "\n".join(lines)

    return mutate


def judged(file: Path) -> tuple[list[Diagnostic], float]:
    """(what is found, seconds of this process that it took to find and write it)."""
    began = time.process_time()
    try:
        found = judge(Inputs(str(file))).findings
    except Invalid as invalid:
        found = invalid.diagnostics
    for each in found:
        each.render()
    return found, time.process_time() - began


def said(file: Path) -> list[Diagnostic]:
    """The findings of a file, which have to be there soon and inside it."""
    found, took = judged(file)
    if took > LONGEST:  # it may have collected garbage
        took = min(judged(file)[1] for _ in range(3))
    assert took < LONGEST
    texts = [each.render() for each in found]
    for each, text in zip(found, texts, strict=True):
        assert each.code in CODES
        for source, span in (each.place, *(label.place for label in each.related)):
            assert source.name == str(file)
            assert 0 <= span.line <= span.end_line < len(source.lines)
            assert 0 <= span.column <= len(source.line(span.line))
            assert (span.line, span.column) <= (span.end_line, span.end_column)
        assert text.isprintable() or all(c.isprintable() or c in "\n\t" for c in text)
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "shop.yaml"


@relaxed
@given(st.sampled_from([*GALLERY, *BROKEN]), st.lists(mutations(), min_size=1, max_size=4))
def test_changed_files(file: Path, text: str, changes: list[Mutation]) -> None:
    for change in changes:
        text = change(text)
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    said(file)


@relaxed
@given(st.text(alphabet=st.sampled_from([c for c in PIECES if len(c) == 1] + list("ab01")), max_size=80))
def test_any_text(file: Path, text: str) -> None:
    file.write_bytes(f"app: demo\n{text}".encode("utf-8", "surrogatepass"))
    said(file)


@relaxed
@given(st.binary(max_size=200))
def test_any_bytes(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    said(file)


@settings(relaxed, max_examples=40)
@given(st.sampled_from([*GALLERY, *BROKEN]), st.lists(mutations(), max_size=2), st.sampled_from(Form))
def test_every_format(
    file: Path, capsys: pytest.CaptureFixture[str], text: str, changes: list[Mutation], form: Form
) -> None:
    for change in changes:
        text = change(text)
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(typer.Exit) as left:
        validate([str(file)], form=form, environment=False)
    out, err = capsys.readouterr()
    assert (left.value.exit_code in (0, 1), err) == (True, "")
    if form in (Form.JSON, Form.SARIF):
        json.loads(out)


LARGE: dict[str, Any] = {
    "keys": "".join(f"key_{number}: 1\n" for number in range(4_900)),
    "entries of a list": "x-a:\n" + "- b\n" * 16_000,
    "a list in one line": "x-a: [" + "a," * 32_000 + "a]",
    "brackets": "x-a: " + "[" * 60_000,
    "braces": "x-a: " + "{a: " * 15_000,
    "brackets with keys": "x-a: " + "[a: " * 15_000,
    "dashes": "x-a:\n" + "- " * 30_000,
    "question marks": "? " * 30_000,
    "a long text": "name: " + "shop " * 13_000,
    "escapes": 'name: "' + "\\n" * 32_000 + '"',
    "anchors": "".join(f"x-{number}: &a{number} 1\n" for number in range(3_500)),
    "aliases": "x-a: &a [1, 2, 3]\nx-b: [" + "*a," * 4_000 + "]",
    "variables": "name: " + "${NOT_SET_AT_ALL}" * 3_500,
    "dollars": "name: " + "$$" * 32_000,
    "addresses": "app: demo\nlisten:\n" + "- 8000\n" * 4_000,
    "misspelled limits": "app: demo\nlimits: {" + ", ".join(f"connection{n}: 1" for n in range(2_400)) + "}",
    "variables of the environment": "app: demo\nenvironment:\n" + "".join(f"  N{n}: 1\n" for n in range(2_400)),
    "comments": "# comment\n" * 6_500,
    "empty lines": "\n" * 65_000,
    "tabs": "\t" * 65_000,
}


@pytest.mark.parametrize("name", LARGE)
def test_large_files(file: Path, name: str) -> None:
    text = LARGE[name][: MAX_BYTES - 10]
    file.write_text(f"app: demo\n{text}" if "app" not in text[:4] else text)
    spent = []
    for _ in range(3):  # the first one imports, and others on this machine have an influence on processor time too
        began = time.process_time()
        with pytest.raises(typer.Exit):
            validate([str(file)], environment=False)
        spent.append(time.process_time() - began)
    assert min(spent) < LONGEST
