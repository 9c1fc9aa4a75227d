"""What setup.py compiles stays fit for it: a base is open to interpreted subclasses if it has one."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PLAIN = {"Protocol", "Interface", "NamedTuple"}  # bases of classes that mypyc leaves as they are
OPEN = "mypyc_attr(allow_interpreted_subclasses=True)"


def compiled_files() -> set[Path]:
    spec = importlib.util.spec_from_file_location("project_setup", ROOT / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {ROOT / path for path in module.files()}


def classes(path: Path) -> list[ast.ClassDef]:
    return [each for each in ast.walk(ast.parse(path.read_text())) if isinstance(each, ast.ClassDef)]


def name_of(base: ast.expr) -> str:
    while isinstance(base, ast.Subscript):
        base = base.value
    return base.id if isinstance(base, ast.Name) else ""


def test_every_module_is_there() -> None:
    assert [path for path in compiled_files() if not path.is_file()] == []


def test_bases_of_interpreted_classes_say_so() -> None:
    """Or creating an object of the subclass raises TypeError, in the compiled form only."""
    files = compiled_files()
    known = {each.name: each for path in files for each in classes(path)}
    found = set()
    for path in (ROOT / "poolctl").rglob("*.py"):
        for each in classes(path) if path not in files else ():
            found |= {base for base in map(name_of, each.bases) if base in known}
    assert found
    plain = {name for name, each in known.items() if not PLAIN.isdisjoint(map(name_of, each.bases))}
    assert [name for name in found - plain if OPEN not in map(ast.unparse, known[name].decorator_list)] == []
