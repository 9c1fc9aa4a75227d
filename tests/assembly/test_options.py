from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from poolctl.assembly.options import make
from poolctl.config.load import load


@dataclass
class Part:
    """A part with an option of each kind."""

    target: Annotated[str, Field(min_length=1)]
    body: Annotated[int, "bytes", Field(ge=1)] = 1024
    pause: Annotated[float, "seconds", Field(gt=0)] = 1.0
    size: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    names: tuple[str, ...] = ()
    copy: bool = False
    _turn: Any = field(default_factory=count, init=False)

    def __post_init__(self) -> None:
        if self.copy and not self.names:
            raise ValueError("copy needs names")


def made(tmp_path: Path, options: str) -> Any:
    file = tmp_path / "shop.yaml"
    file.write_text(f"app: {{use: demo, {options}}}")
    document = load(str(file))
    return make(Part, document.topology.app, document.tree)


def test_options_with_units(tmp_path: Path) -> None:
    found = made(tmp_path, "target: a, body: 64KiB, pause: 500ms, names: [a, b]")
    assert (found.target, found.body, found.pause, found.names) == ("a", 65536, 0.5, ("a", "b"))
    assert type(found) is Part


def test_defaults_are_those_of_the_class(tmp_path: Path) -> None:
    found = made(tmp_path, "target: a")
    assert (found.body, found.pause, found.size, found.names) == (1024, 1.0, "auto", ())


@pytest.mark.parametrize(
    ("options", "code", "sought", "message"),
    [
        ("target: a, bodi: 3", "PC203", "bodi", 'unknown key "bodi" in app'),
        ("target: a, _turn: 3", "PC203", "_turn", 'unknown key "_turn" in app'),
        ("body: 3", "PC202", "app", 'missing key "target" in app'),
        ("target: ''", "PC204", "''", 'app.target: expected a string that is not empty, not ""'),
        ("target: a, body: 5x", "PC204", "5x", 'expected a size such as "64KiB"'),
        ("target: a, body: 0B", "PC204", "0B", 'app.body: expected at least 1, not "0B"'),
        ("target: a, pause: 0", "PC204", "0", "app.pause: expected more than 0, not 0"),
        ("target: a, size: many", "PC204", "many", 'app.size: expected a whole number or "auto", not "many"'),
        ("target: a, size: 0", "PC204", "0", 'app.size: expected at least 1 or "auto", not 0'),
        ("target: a, size: true", "PC204", "true", "not true"),
        ("target: a, size: '2'", "PC204", "'2'", 'not "2"'),
        ("target: a, names: [a, 3]", "PC204", "3", "app.names.1: expected a string, not 3"),
        ("target: a, copy: true", "PC204", "demo", "app demo: copy needs names"),
    ],
)
def test_findings_have_their_locations(tmp_path: Path, options: str, code: str, sought: str, message: str) -> None:
    (found,) = made(tmp_path, options)
    assert found.code == code
    assert message in found.message
    span = found.place.span
    assert found.place.source.text[span.column : span.end_column] == sought


def test_all_errors_are_found_at_once(tmp_path: Path) -> None:
    found = made(tmp_path, "bodi: 1, pause: x, size: 0")
    assert sorted(each.code for each in found) == ["PC202", "PC203", "PC204", "PC204"]
