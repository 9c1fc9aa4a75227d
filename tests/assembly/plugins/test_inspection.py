"""Inspecting plugins without importing them in this process: real files, forked processes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from poolctl.assembly.judging.judge import judge
from poolctl.assembly.plugins import inspection
from poolctl.assembly.plugins.inspection import Description, Unusable, inspect_plugin
from poolctl.assembly.plugins.plugin import Plugin
from poolctl.assembly.plugins.reference import Reference
from poolctl.assembly.resolve import assembled_from
from poolctl.config.sources import Inputs

HEAD = """
from dataclasses import dataclass, field
from typing import Annotated
from pydantic import Field
from poolctl.plugin import Dispatch
"""
MINE = """
@dataclass
class Mine(Dispatch):
    '''The first
    that is free.

    More about it.
    '''

    weights: Annotated[tuple[int, ...], Field(min_length=1, description="of each worker")]
    name: str = "x"
    slack: Annotated[float, "seconds"] = 1.5
    _last: int = field(default=-1, init=False)

    def pick(self, task, inboxes):
        return inboxes[0]

    def joined(self, inbox):
        self._last = inbox.index
"""
PICK = """
    def pick(self, task, inboxes):
        return inboxes[0]
"""
OPTION = f"""
from dataclasses import InitVar
@dataclass
class Mine(Dispatch):
    {{}}
{PICK}"""
NESTED = f"""
from enum import Enum

class Colour(Enum):
    RED = "red"
    BLUE = "blue"

@dataclass
class Side:
    width: int
    of: list["Side"] = field(default_factory=list)

@dataclass
class Mine(Dispatch):
    colour: Colour = Colour.RED
    sides: tuple[Side, ...] = ()
    pauses: list[Annotated[float, "seconds"]] = field(default_factory=list)
    limits: dict[str, Annotated[int, "bytes"] | None] | None = None
{PICK}"""
Look = Callable[..., Description | Unusable]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    def looked(code: str, options: dict[str, object] | None = None, name: str = "Mine") -> Description | Unusable:
        file = tmp_path / "mine.py"
        file.write_text(HEAD + code)
        return inspect_plugin(Reference("dispatch", f"./mine.py:{name}", name, path=str(file)), options)

    return looked


def test_docstring_options_and_facts_come_back_and_nothing_is_imported_here(look: Look) -> None:
    found = look(MINE, {"weights": [3, 1], "slack": "250ms"})
    assert isinstance(found, Description)
    assert found.sentence == "The first that is free."
    assert found.about.endswith("More about it.")
    assert list(found.options) == ["weights", "name", "slack"]
    assert found.options["weights"]["description"] == "of each worker"
    assert found.options["name"]["default"] == "x"
    assert found.required == ("weights",)
    assert found.values == {"weights": [3, 1], "name": "x", "slack": 0.25}
    assert found.facts == {"like": "least-loaded", "pull": False, "inspects": False, "hooks": ["joined"]}
    assert found.errors == ()
    assert not any(name.startswith("poolctl_plugin_mine") for name in sys.modules)


def test_without_options_none_are_validated(look: Look) -> None:
    found = look(MINE)
    assert isinstance(found, Description)
    assert found.errors == ()
    assert found.values == {}


def test_all_invalid_options_are_reported_at_once(look: Look) -> None:
    found = look(MINE, {"weights": [], "name": 3, "slck": 1})
    assert isinstance(found, Description)
    assert {error["loc"] for error in found.errors} == {("weights",), ("name",), ("slck",)}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('hello'); import os; os._exit(3)", "exited with code 3"),
        ("import os; os.kill(os.getpid(), 9)", "was killed by signal 9"),
        ("import sys; sys.exit(4)", "exits the process that imports it: 4"),
        ("class Mine(Dispatch): x", "cannot be imported: NameError: name 'x' is not defined"),
        ("def f(:", "cannot be imported: SyntaxError"),
        (
            "@dataclass\nclass Mine(Dispatch):\n    w: 'Wight' = 3\n    def pick(self, t, i): ...",
            "uses an unknown name",
        ),
        (OPTION.format("a: int = Field(default=3, ge=1)"), "Mine.a = Field(...) would be its value"),
        (OPTION.format("a: object | None = None\n    b: Dispatch | None = None"), "cannot express a value of type"),
        (OPTION.format("a: 3 = 3"), "Mine.a: a topology cannot express a value of type 3"),
        (OPTION.format("a: 'int |' = 3"), "an annotation is not a type"),
        (OPTION.format("use: str = ''"), "has an option use, the key that names the plugin"),
        (OPTION.format("a: InitVar[int] = 3"), "Mine.a is an InitVar"),
        (f"class Mine(Dispatch):\n    def __init__(self, weight): ...\n{PICK}", "cannot be instantiated: TypeError"),
        ("class Mine(Dispatch):\n    like = 'leader'\n    def pick(self, t, i): ...", 'like is "leader"'),
    ],
)
def test_what_it_does_when_it_is_imported_is_reported(look: Look, code: str, message: str) -> None:
    found = look(code, {})
    assert isinstance(found, Unusable)
    assert message in found.message


def test_enumerations_dataclasses_and_units_within_lists_are_options(look: Look) -> None:
    given = {"colour": "blue", "sides": [{"width": 1}], "pauses": ["1s", "20ms"], "limits": {"a": "1KiB", "b": None}}
    found = look(NESTED, given)
    assert isinstance(found, Description)
    assert found.errors == ()
    assert found.values["pauses"] == [1.0, 0.02]
    assert found.values["limits"] == {"a": 1024, "b": None}
    assert found.options["colour"] == {"enum": ["red", "blue"], "type": "string", "default": "red"}
    assert list(found.options["sides"]["items"]["properties"]) == ["width", "of"]
    assert "$ref" not in json.dumps(found.options)
    wrong = look(NESTED, {"colour": "green", "sides": [{"width": 1, "height": 2}], "pauses": ["1x"]})
    assert isinstance(wrong, Description)
    assert {error["loc"][0] for error in wrong.errors} == {"colour", "sides", "pauses"}


def test_an_unknown_key_inside_an_option_is_one(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(HEAD + NESTED)
    file = tmp_path / "t.yaml"
    file.write_text("app: demo\ndispatch: {use: ./mine.py:Mine, sides: [{width: 1, height: 2}], colour: green}\n")
    found = judge(Inputs(str(file)))
    assert {(each.code, each.message, each.help) for each in found.findings} == {
        ("PC204", 'dispatch.colour: expected "red" or "blue", not "green"', "choose one of red, blue"),
        ("PC203", 'unknown key "height" in dispatch.sides.0', ""),
    }


def test_what_it_printed_is_shown(look: Look) -> None:
    found = look("print('no database')\nraise KeyError('url')", {})
    assert isinstance(found, Unusable)
    assert found.detail.startswith("Traceback")
    assert found.detail.endswith("it printed:\nno database")
    assert "poolctl" not in found.detail


def test_an_import_that_hangs_times_out(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "TIMEOUT", 0.3)
    found = look("import threading; threading.Event().wait()", {})
    assert isinstance(found, Unusable)
    assert "still being imported after 0.3 s" in found.message


def test_a_class_without_options_needs_no_decorator(look: Look) -> None:
    found = look("class Mine(Dispatch):\n    def pick(self, task, inboxes):\n        return inboxes[0]\n", {})
    assert isinstance(found, Description)
    assert found.options == {}
    assert found.about == ""


def test_a_plugin_may_import_its_neighbours(look: Look, tmp_path: Path) -> None:
    (tmp_path / "weights_of_shop.py").write_text("WEIGHTS = (1, 2)\n")
    assert isinstance(look("import weights_of_shop" + MINE, {"weights": [1]}), Description)


def test_a_file_may_have_the_name_of_a_module_of_the_library(tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text(HEAD + MINE)
    reference = Reference("dispatch", "./random.py:Mine", "Mine", path=str(tmp_path / "random.py"))
    assert isinstance(inspect_plugin(reference, {"weights": [1]}), Description)


def test_an_instance_is_created_only_on_demand(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(HEAD + MINE)
    file = tmp_path / "t.yaml"
    file.write_text("app: demo\ndispatch: {use: ./mine.py:Mine, weights: [2, 1]}\n")
    parts = assembled_from(judge(Inputs(str(file))))
    assert isinstance(parts.dispatch, Plugin)
    assert parts.combination.dispatch == "least-loaded"
    assert parts.combination.shown("dispatch") == "./mine.py:Mine"
    here = parts.here()
    assert type(here.dispatch).__name__ == "Mine"
    assert here.dispatch.weights == (2, 1)
    assert here.dispatch.slack == 1.5
