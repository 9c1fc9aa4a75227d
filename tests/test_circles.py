"""No two files import each other, in whatever way: not for types, not inside functions, not over others.

What is listed here is lazy for a reason: a package that need not be installed, or a command that has to start fast.
"""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAZY = {
    # h2 and wsproto need not be installed, and cost time where nobody uses them
    ("poolctl.runtime.serving_async.connection", "poolctl.runtime.serving_async.http2_connection"),
    ("poolctl.runtime.serving_async.connection", "poolctl.runtime.serving_async.websocket_connection"),
    # excerpts of a file with marks below them; a topology that is right has no finding to show
    ("poolctl.config.diagnostic", "poolctl.config.human"),
}


def modules() -> dict[str, Path]:
    found = {}
    for path in (ROOT / "poolctl").rglob("*.py"):
        if "templates" not in path.parts:
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def imported(tree: ast.AST, known: dict[str, Path]) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                names.add(whole if whole in known else node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names & known.keys()


def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: imported(ast.parse(path.read_text()), known) for name, path in known.items()}


def test_no_file_imports_one_that_imports_it() -> None:
    edges = graph()
    for importer, lazy in LAZY:
        assert lazy in edges[importer]  # or the list is too long
        edges[importer].discard(lazy)
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        raise AssertionError(" <- ".join(error.args[1])) from None
