"""Protocols are bytes to requests and responses to bytes: no socket, no file, no event loop, nobody's connection."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import poolctl

PACKAGE = Path(poolctl.__file__).parent
FILES = sorted((PACKAGE / "runtime" / "protocol").rglob("*.py"))
INPUT_AND_OUTPUT = {
    "asyncio", "concurrent", "mmap", "multiprocessing", "os", "pathlib", "select", "selectors", "shutil", "signal",
    "socket", "socketserver", "ssl", "subprocess", "tempfile", "threading",
}  # fmt: skip
ALLOWED = ("poolctl.runtime.protocol", "poolctl.runtime.buffers", "poolctl.runtime.task", "poolctl.runtime.interface")


def imported(file: Path) -> set[str]:
    """The modules that a file names, those under TYPE_CHECKING and in functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("file", FILES, ids=[str(each.relative_to(PACKAGE)) for each in FILES])
def test_a_protocol_reads_and_writes_nothing_itself(file: Path) -> None:
    modules = imported(file)
    assert not {module.partition(".")[0] for module in modules} & INPUT_AND_OUTPUT
    ours = {module for module in modules if module.startswith("poolctl.runtime")}
    assert {module for module in ours if not module.startswith(ALLOWED)} <= {"poolctl.runtime.system.trust"}
    names = {node.func.id for node in ast.walk(ast.parse(file.read_text())) if is_call_of_a_name(node)}
    assert "open" not in names


def is_call_of_a_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
