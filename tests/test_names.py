"""One name, one meaning: no two classes of the package, and no two constants of what serves, have the same name.

A part is named after its word of the topology, and two axes may share a word: those names are the topology's.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import poolctl
from poolctl.assembly.registry import REGISTRY

PACKAGE = Path(poolctl.__file__).parent
TEMPLATES = PACKAGE / "cli" / "plugin" / "templates"  # what `plugin new` writes: each becomes a plugin of its own

SERVING = ("runtime", "supervision")  # folders whose constants differ in name, where they differ in meaning
CONSTANT = re.compile(r"[A-Z][A-Z0-9_]+")  # longer than the names of type variables
SHARED_CONSTANTS = {
    "TRANSITIONS": "each table of phases has this name, by which the diagrams of docs/architecture.md find it",
}

PARTS = {target for words in REGISTRY.values() for target in words.values()}


def test_no_two_classes_have_one_name() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for file in sorted(PACKAGE.rglob("*.py")):
        if not file.is_relative_to(TEMPLATES):
            for node in ast.parse(file.read_text()).body:
                module = "poolctl." + ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
                if isinstance(node, ast.ClassDef) and f"{module}:{node.name}" not in PARTS:
                    places[node.name].append(f"{file.relative_to(PACKAGE)}:{node.lineno}")
    assert "ConnectionLoop" in places
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def constants(body: list[ast.stmt]) -> Iterator[tuple[str, int]]:
    """The public constants that the statements of a module define, each with its line."""
    for node in body:
        if isinstance(node, (ast.If, ast.Try)):
            handlers = node.handlers if isinstance(node, ast.Try) else []
            for part in (node.body, node.orelse, *(handler.body for handler in handlers)):
                yield from constants(part)
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            for each in target.elts if isinstance(target, ast.Tuple) else [target]:
                if isinstance(each, ast.Name) and CONSTANT.fullmatch(each.id):
                    yield each.id, node.lineno


def test_no_two_modules_define_one_constant() -> None:
    """A constant that several modules need is defined once and imported; a quantity has its unit in its name."""
    places: dict[str, dict[str, int]] = defaultdict(dict)
    for folder in SERVING:
        for file in sorted((PACKAGE / folder).rglob("*.py")):
            for name, line in constants(ast.parse(file.read_text()).body):
                places[name][str(file.relative_to(PACKAGE))] = line
    twice = {name: where for name, where in places.items() if len(where) > 1}
    assert set(SHARED_CONSTANTS) <= set(twice)  # an exception that is needed no more goes
    assert {name: where for name, where in twice.items() if name not in SHARED_CONSTANTS} == {}
