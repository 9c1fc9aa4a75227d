"""The tests themselves: none of them depends on how fast the machine is, or on luck.

Walks the syntax trees of the suite for what used to make it fail elsewhere. What a rule finds is a line like
``tests/x.py:7: an upper bound on time that does not scale``; CONTRIBUTING.md says what to write instead.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Words of unit tests, whose meaning is the same everywhere and whose part is that of the file. A name for each, such as
# make_listener, would repeat the name of the file in every signature, while no folder's conftest can hide another's.
UNIT = {"rig": "the part that is tested, among fakes", "make": "makes one of them"}
APPLICATIONS = {"apps", "broken", "wrong", "django_site", "fastapi_api", "flask_shop", "datasette_data", "program.py"}
CLOCKS = {"monotonic", "perf_counter", "process_time", "thread_time", "time", "times", "getrusage", "wait4"}
CLOCKS |= {f"{name}_ns" for name in CLOCKS}
READS_CLOCK = re.compile(rf"\b({'|'.join(CLOCKS)})\(")
SCALED = {"within", "PATIENCE"}
SHORT = 10  # seconds: a constant timeout below it fails on a busy machine

BOUND = "an upper bound on time that does not scale"
WCHAN = "wchan has other names, or none, on another kernel"
LUCK = "a statistical test without a seed"
SLEEP = "a sleep without its reason in a comment"
TIMEOUT = "a short timeout that does not scale"


def files() -> list[Path]:
    found = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    return sorted(file for file in found if not APPLICATIONS & set(file.parts) and file != Path(__file__))


def found_in(text: str) -> Iterator[tuple[int, str]]:
    """(line, what is wrong there)."""
    tree = ast.parse(text)
    lines = text.splitlines()
    nodes = list(ast.walk(tree))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for function in functions if READS_CLOCK.search(text) else ():
        yield from ((line, BOUND) for line in bounds(function))
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "wchan" in node.value:
            yield node.lineno, WCHAN
        if isinstance(node, ast.Call) and called(node) == "sleep" and "#" not in around(lines, node):
            yield node.lineno, SLEEP
        if isinstance(node, ast.Call):
            yield from ((node.lineno, TIMEOUT) for _ in range(waits_briefly(node)))
    if "chi_square" in text and "seed" not in text:
        yield 1, LUCK


def around(lines: list[str], node: ast.Call) -> str:
    """The line of a call and the one above."""
    return "\n".join(lines[max(0, node.lineno - 2) : node.lineno])


def called(node: ast.AST) -> str:
    """The last part of the name of what is called; empty for what is no call."""
    if not isinstance(node, ast.Call):
        return ""
    return getattr(node.func, "attr", "") or getattr(node.func, "id", "")


def names(node: ast.AST) -> set[str]:
    """All names and attributes below a node."""
    found = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    return found | {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}


def reads_clock(node: ast.AST) -> bool:
    return any(called(each) in CLOCKS for each in ast.walk(node))


def bounds(function: ast.AST) -> Iterator[int]:
    """Lines that compare what was read from a clock, or keeps a name that was computed from one, with something
    larger that is neither scaled nor read from a clock itself; and deadlines that lie a constant ahead. A loop that
    goes on for a while is none of them."""
    timed: set[str] = set()
    loops = {id(part) for node in ast.walk(function) if isinstance(node, ast.While) for part in ast.walk(node.test)}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value and reads_clock(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            timed.update(*(names(target) for target in targets))
            if isinstance(node.value, ast.BinOp) and isinstance(node.value.op, ast.Add) and constant(node.value.right):
                yield node.lineno
        if called(node) == "append" and reads_clock(node):
            timed |= names(node.func)  # type: ignore[attr-defined]  # a call has one
    for node in ast.walk(function):
        if not isinstance(node, ast.Compare) or id(node) in loops:
            continue
        sides = [node.left, *node.comparators]
        for small, sign, large in zip(sides, node.ops, sides[1:], strict=False):
            if isinstance(sign, ast.Gt | ast.GtE):
                small, large = large, small  # noqa: PLW2901  # they are read from left to right
            elif not isinstance(sign, ast.Lt | ast.LtE):
                continue
            if (reads_clock(small) or timed & names(small)) and constant(large):
                yield node.lineno


def constant(node: ast.AST) -> bool:
    """Whether it is made of numbers, and of names written in capitals that are not scaled."""
    if called(node) == "within" or SCALED & names(node) or (isinstance(node, ast.Constant) and not node.value):
        return False
    return all(name.isupper() for name in names(node)) and not any(called(each) for each in ast.walk(node))


def waits_briefly(node: ast.Call) -> int:
    """How many constant timeouts a call has that are short, and longer than one that is meant to pass."""
    given = [word.value for word in node.keywords if word.arg and word.arg.endswith("timeout")]
    if called(node) in ("wait", "settimeout") and len(node.args) == 1:
        given += node.args
    numbers = [each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, int | float)]
    return sum(1 < number < SHORT for number in numbers)


def test_nothing_depends_on_the_machine_or_on_luck() -> None:
    assert [f"{file}:{line}: {what}" for file in files() for line, what in found_in(file.read_text())] == []


def fixtures(file: Path) -> Iterator[str]:
    """The names of the fixtures that a file defines, in classes too."""
    text = file.read_text()
    for node in ast.walk(ast.parse(text)) if "fixture" in text else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            marks = (getattr(each, "func", each) for each in node.decorator_list)
            if any(getattr(mark, "attr", "") == "fixture" for mark in marks):
                yield node.name


def test_a_fixture_has_one_name_and_one_meaning() -> None:
    """What a fixture gives is looked up in one place: none is defined again, or has another meaning in a folder."""
    where: dict[str, list[str]] = {}
    for file in [*files(), ROOT / "conftest.py"]:
        for name in fixtures(file):
            where.setdefault(name, []).append(str(file.relative_to(ROOT)))
    assert {name: places for name, places in where.items() if len(places) > 1 and name not in UNIT} == {}
    assert len(where) > 50, "they are found"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("assert time.monotonic() - began < 3", BOUND),
        ("assert 0.4 < time.perf_counter() - began <= 3", BOUND),
        ("assert 1.5 > time.process_time() - began", BOUND),
        ("assert time.monotonic() - began < SOON + 1", BOUND),
        ("took = time.thread_time_ns() - began; assert took < 200", BOUND),
        ("took.append(time.monotonic() - began); assert max(took) < 0.5", BOUND),
        ("end = time.monotonic() + 5", BOUND),
        ("open(f'/proc/{pid}/wchan')", WCHAN),
        ("time.sleep(0.1)", SLEEP),
        ("assert chi_square(draws()) < 21", LUCK),
        ("process.wait(3)", TIMEOUT),
        ("subprocess.run(command, timeout=5)", TIMEOUT),
    ],
)
def test_what_is_found(line: str, what: str) -> None:
    assert [found for _, found in found_in(f"def test():\n    {line}\n")] == [what]


@pytest.mark.parametrize(
    "line",
    [
        "assert time.monotonic() - began < within(3)",
        "assert time.monotonic() - began >= 0.5",
        "assert 0.5 < time.monotonic() - began",
        "assert min(after) < max(before)",
        "end = time.monotonic() + PATIENCE",
        "time.sleep(0.1)  # a slow reader",
        "random.seed(7); assert chi_square(draws()) < 21",
        "process.wait(PATIENCE)",
        "sock.settimeout(0.1)",
    ],
)
def test_what_may_be_written(line: str) -> None:
    assert list(found_in(f"def test():\n    {line}\n")) == []
