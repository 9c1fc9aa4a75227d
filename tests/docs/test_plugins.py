"""docs/plugins.md where one block depends on another: a fault in a live server, and a package."""

from __future__ import annotations

import re
from pathlib import Path

import pages
from harness.client import get
from harness.commands import poolctl
from harness.server import ROOT, Serve

from poolctl.runtime.dispatch.guarded import SLOW_NS
from poolctl.supervision.mold import HUNG_SECONDS

PAGE = ROOT / "docs" / "plugins.md"
BLOCKS = pages.blocks(PAGE)
STAMP = re.compile(r"^\S+ \S+ \[\d+\] ", re.MULTILINE)


def one(language: str, begins: str) -> str:
    """The block of a language that begins so."""
    (found,) = (block.text for block in BLOCKS if block.language == language and block.text.startswith(begins))
    return found


def test_the_fault_of_a_strategy_is_told_as_shown(serve: Serve, tmp_path: Path) -> None:
    pages.write_files(PAGE, tmp_path)
    place = dict.fromkeys(("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "TMPDIR"), str(tmp_path))
    server = serve(tmp_path / "turns.yaml", environment=place, tracebacks=True)
    for _ in range(10):
        assert get(server.port).status == 200
    (line,) = (block.text for block in BLOCKS if block.language == "text" and "error the strategy" in block.text)
    assert STAMP.sub("", line) in STAMP.sub("", server.log)
    assert "Traceback" in server.log
    block = one("console", "$ poolctl status turns\n")
    pages.compare(poolctl("status", "turns", cwd=tmp_path, **place).stdout, block.partition("\n")[2])
    assert server.stop() == 0


def test_a_package_has_the_project_that_is_shown(tmp_path: Path) -> None:
    assert poolctl("plugin", "new", "heavy-first", "--package", cwd=tmp_path).returncode == 0
    shown = one("toml", "# poolctl-heavy-first/pyproject.toml\n").partition("\n")[2]
    assert (tmp_path / "poolctl-heavy-first" / "pyproject.toml").read_text() == shown


def test_the_tables_are_whole() -> None:
    text = PAGE.read_text()
    for folder in (ROOT / "plugins").iterdir():
        assert not (folder / "pyproject.toml").exists() or f"](../plugins/{folder.name})" in text
    from poolctl import plugin
    from poolctl.testing.contract import names

    for name in names():
        assert f"\n| {name.replace('_', ' ')} | " in text
    for name in re.findall(r"`([A-Z]\w+)`", text):
        assert name in plugin.__all__ or name in ("UrgentFirst", "ValueError")
    assert f"takes longer than {SLOW_NS / 1e9:g} s" in text
    assert f"after {HUNG_SECONDS:g} s its front is killed" in text
