"""A file of more than 250 lines says in its docstring why it is long, a function of more than 40 in a comment at its
``def``. The docstring of a function does not count."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILE = 250  # lines
FUNCTION = 40
REASON = "The file is long because"


def sources() -> list[Path]:
    return [*(ROOT / "poolctl").rglob("*.py"), *(ROOT / "plugins").glob("*/poolctl_*.py")]


def judgement(source: str) -> str:
    """What is wrong with the size of a file; empty where nothing is."""
    count = len(source.splitlines())
    docstring = " ".join((ast.get_docstring(ast.parse(source)) or "").split())
    if count > FILE and REASON not in docstring:
        return f'{count} lines: divide it, or say in its docstring "{REASON} ..."'
    if count <= FILE and REASON in docstring:
        return f"{count} lines: not long, so its docstring needs no reason"
    return ""


def long_functions(source: str) -> Iterator[str]:
    """Functions that are too long and have no comment at their ``def``, with the number of their lines."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            count = (node.end_lineno or node.lineno) - (body[0].lineno if body else node.lineno) + 1
            head = lines[node.lineno - 1 : first.lineno - 1]
            if count > FUNCTION and not any("  # " in line for line in head):
                yield f"{node.name}: {count} lines"


def test_long_files_have_a_reason() -> None:
    found = {path: judgement(path.read_text()) for path in sources()}
    assert not [f"{path.relative_to(ROOT)}: {wrong}" for path, wrong in found.items() if wrong]


def test_long_functions_have_a_reason() -> None:
    assert not [f"{path.relative_to(ROOT)}: {each}" for path in sources() for each in long_functions(path.read_text())]


@pytest.mark.parametrize(
    ("docstring", "count", "wrong"),
    [("a", FILE, False), ("a", FILE + 1, True), (f"{REASON} b", FILE + 1, False), (f"{REASON} b", FILE, True)],
)
def test_a_file_is_judged(docstring: str, count: int, wrong: bool) -> None:
    assert bool(judgement(f'"""{docstring}"""\n' + "x = 1\n" * (count - 1))) == wrong


@pytest.mark.parametrize(("comment", "count", "long"), [("", FUNCTION, 0), ("", FUNCTION + 1, 1), ("  # b", 99, 0)])
def test_a_function_is_judged(comment: str, count: int, long: int) -> None:
    source = f'def f():{comment}\n    """A."""\n' + "    x = 1\n" * count
    assert len(list(long_functions(source))) == long
