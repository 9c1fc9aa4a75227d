"""What setup.py compiles stays fit for it: a base is open to interpreted subclasses if it has one, and constants that a
request reads are Final."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
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


def is_constant(name: str) -> bool:
    """Whether a name is one of a constant, and not of a type variable."""
    return name.isupper() and len(name) > 1


def assigned(path: Path) -> Iterator[tuple[str, bool]]:
    """The constants that a module assigns once for all, and whether they are Final."""
    for each in ast.parse(path.read_text()).body:
        if isinstance(each, ast.Assign):
            for target in each.targets:
                names = target.elts if isinstance(target, ast.Tuple) else [target]
                yield from ((name.id, False) for name in names if isinstance(name, ast.Name) and is_constant(name.id))
        elif isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and is_constant(each.target.id):
            yield each.target.id, name_of(each.annotation) == "Final"


def test_constants_of_compiled_modules_are_final() -> None:
    """Compiled code looks up any other global in a dict by its name, some hundred instructions each time."""
    found = [(path.stem, name, final) for path in compiled_files() for name, final in assigned(path)]
    assert len(found) > 100
    assert [(module, name) for module, name, final in found if not final] == []
