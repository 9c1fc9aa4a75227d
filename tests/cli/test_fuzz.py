"""Whatever a file contains, its author gets findings with places inside it, in every format and never a traceback."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from harness.forms import drawn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poolctl.assembly.judging.judge import judge
from poolctl.cli.validate import ValidateFormat, validate
from poolctl.config.codes import CODES
from poolctl.config.diagnostic import Diagnostic, Invalid
from poolctl.config.sources import Inputs

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench.large import large  # the benchmarks are not part of the package

ROOT = Path(__file__).parents[2]
GALLERY = [file.read_text() for file in sorted((ROOT / "topologies").glob("*.yaml"))]
BROKEN = [file.read_bytes().decode("latin-1") for file in sorted((ROOT / "tests" / "broken").glob("*.yaml"))]
relaxed = settings(drawn(60), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
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
    """Change one place of a text, as an editor or a bad merge might."""
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


def load_or_exit(file: Path) -> list[Diagnostic]:
    """Return the findings."""
    try:
        return judge(Inputs(str(file))).findings
    except Invalid as invalid:
        return invalid.diagnostics


def said(file: Path) -> list[Diagnostic]:
    """Return the findings of a file, which must be inside it."""
    found = load_or_exit(file)
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


@settings(relaxed, max_examples=drawn(25).max_examples)
@given(st.sampled_from([*GALLERY, *BROKEN]), st.lists(mutations(), max_size=2), st.sampled_from(ValidateFormat))
def test_every_format(
    file: Path, capsys: pytest.CaptureFixture[str], text: str, changes: list[Mutation], form: ValidateFormat
) -> None:
    for change in changes:
        text = change(text)
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(typer.Exit) as left:
        validate([str(file)], form=form, environment=False)
    out, err = capsys.readouterr()
    assert (left.value.exit_code in (0, 1), err) == (True, "")
    if form in (ValidateFormat.JSON, ValidateFormat.SARIF):
        json.loads(out)


@pytest.mark.parametrize("name", large())
def test_large_files(file: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """``python -m bench.validate`` measures how fast."""
    file.write_text(large()[name])
    with pytest.raises(typer.Exit) as left:
        validate([str(file)], environment=False)
    out, err = capsys.readouterr()
    assert (left.value.exit_code in (0, 1), bool(out), err) == (True, True, "")
