"""Protocols do no I/O: they use no sockets, files or event loops, and none of the runtime's connections."""

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
    """Return the modules that a file imports, including those under TYPE_CHECKING and in functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("file", FILES, ids=[str(each.relative_to(PACKAGE)) for each in FILES])
def test_a_protocol_does_no_io(file: Path) -> None:
    modules = imported(file)
    assert not {module.partition(".")[0] for module in modules} & INPUT_AND_OUTPUT
    ours = {module for module in modules if module.startswith("poolctl.runtime")}
    assert {module for module in ours if not module.startswith(ALLOWED)} <= {"poolctl.runtime.system.trust"}
    names = {node.func.id for node in ast.walk(ast.parse(file.read_text())) if is_call_of_a_name(node)}
    assert "open" not in names


def is_call_of_a_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
