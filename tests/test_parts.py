"""Parts get what they need by constructors and documented calls: nothing assigns to attributes of another object."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from poolctl.assembly.plugins.load import base
from poolctl.assembly.plugins.reference import AXES
from poolctl.runtime.affinity import Affinity

PACKAGE = Path(__file__).parents[1] / "poolctl"
ASSEMBLE = [
    *PACKAGE.glob("assembly/*.py"),
    *PACKAGE.glob("supervision/*.py"),
    *PACKAGE.glob("runtime/site/*.py"),
    *PACKAGE.glob("runtime/pool/*.py"),
    *PACKAGE.glob("runtime/ownership/*.py"),
    *PACKAGE.glob("runtime/ownership/*/ownership.py"),
]
FOREIGN = {
    "options.py: options.__pydantic_config__",  # the way of pydantic
    "user_traceback.py: shown.stack",  # a traceback of the standard library, shortened
    "development.py: SourceFileLoader.path_stats",  # of the loaders of all modules: only in development
    "finish.py: known.atexit",  # what CPython and multiprocessing keep for the end of a process
    "finish.py: process._children",
    "process.py: threading.current_thread().name",  # as ps and py-spy show it
    "process_per_connection.py: threading.current_thread().name",
    "role.py: threading.current_thread().name",
    "mold.py: child.due",  # the mold's own record of a role
    "mold.py: child.killed",
    "mold.py: child.ready",
    "mold.py: child.status",
}


def targets(node: ast.AST) -> list[ast.expr]:
    """What a statement assigns to."""
    if isinstance(node, ast.Assign):
        given = node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        given = [node.target]
    else:
        return []
    return [part for each in given for part in (each.elts if isinstance(each, ast.Tuple) else [each])]


def assigned(tree: ast.AST) -> set[str]:
    """Attributes that are assigned to, of anything but ``self``."""
    found = set()
    for node in ast.walk(tree):
        for target in targets(node):
            if isinstance(target, ast.Attribute) and ast.unparse(target.value) != "self":
                found.add(ast.unparse(target))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr":
            found.add("setattr")
    return found


def test_nothing_is_patched_from_outside() -> None:
    assert len(ASSEMBLE) > 30
    found = {f"{path.name}: {name}" for path in ASSEMBLE for name in assigned(ast.parse(path.read_text()))}
    assert found == FOREIGN


@pytest.mark.parametrize("kind", [*map(base, AXES), Affinity], ids=lambda kind: kind.__name__)
def test_the_life_of_a_part_is_written_on_its_interface(kind: type) -> None:
    life = [
        line.strip() for line in inspect.getdoc(kind).splitlines() if line.strip()[:2] in ("1.", "2.", "3.", "4.", "5.")
    ]
    assert [line[0] for line in life] == list("12345")[: len(life)]
    assert life[0].startswith("1. Made from its options")
    assert len(life) >= 4
