"""One name, one meaning: no two classes of the package have the same name.

A part is named after its word of the topology, and two axes may share a word: those names are the topology's.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import poolctl
from poolctl.assembly.registry import REGISTRY

PACKAGE = Path(poolctl.__file__).parent
TEMPLATES = PACKAGE / "cli" / "plugin" / "templates"  # what `plugin new` writes: each becomes a plugin of its own


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
