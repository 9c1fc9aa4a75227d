"""An import inside a function has its reason in a comment, or its package has one for all of them.

The comment is on the line, or above it and the imports that follow it. A package with a reason for all has a paragraph
in its docstring that begins with "Deferred imports:".
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RULE = "Deferred imports: "


def sources() -> list[Path]:
    found = [*(ROOT / "poolctl").rglob("*.py"), *(ROOT / "plugins").glob("*/poolctl_*.py")]
    return [path for path in found if "templates" not in path.parts]


def deferred(source: str) -> list[ast.stmt]:
    """Imports inside functions, in the order of their lines."""
    functions = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    found = {
        node.lineno: node
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    return [found[line] for line in sorted(found)]


def without_reason(source: str) -> list[str]:
    lines = source.splitlines()
    explained = set()
    missing = []
    for node in deferred(source):
        first, last = node.lineno, node.end_lineno or node.lineno
        above = lines[first - 2].strip()
        if "  # " in lines[last - 1] or above.startswith("# ") or first - 1 in explained:
            explained.add(last)
        else:
            missing.append(lines[first - 1].strip())
    return missing


def packages_with_a_rule() -> list[Path]:
    return [
        path.parent
        for path in (ROOT / "poolctl").rglob("__init__.py")
        if RULE in (ast.get_docstring(ast.parse(path.read_text())) or "")
    ]


def test_each_deferred_import_has_a_reason() -> None:
    ruled = packages_with_a_rule()
    missing = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in sources()
        if not any(path.is_relative_to(package) for package in ruled)
        for line in without_reason(path.read_text())
    ]
    assert not missing, "say why in a comment, or import it at the top:\n" + "\n".join(missing)


def test_each_rule_is_of_use() -> None:
    for package in packages_with_a_rule():
        assert any(without_reason(path.read_text()) for path in package.rglob("*.py")), package


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        ("import a", ["import a"]),
        ("import a  # slow", []),
        ("# slow\n    import a\n    import b", []),
        ("import a  # slow\n    import b\n    print()\n    import c", ["import c"]),
    ],
)
def test_a_reason_is_found(body: str, missing: list[str]) -> None:
    assert without_reason(f"def f():\n    {body}\n") == missing
