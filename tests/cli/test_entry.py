"""What comes before the parser of options: a usual line means the same to both."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness.machine import within
from harness.server import PATIENCE

from poolctl.cli import run as run_module
from poolctl.cli.entry import usual
from poolctl.cli.main import cli

USUAL = [
    [],
    ["shop.yaml"],
    ["shop.yaml", "--set", "pool.size=4"],
    ["--set=pool.size=4", "shop.yaml", "--set", "a=b=c"],
    ["-f", "more.yaml", "shop.yaml", "--file", "other.yaml", "--file=third.yaml"],
    ["shop:app", "--listen", "8000", "--listen=unix:///tmp/s"],
    ["."],
]
UNUSUAL = [
    ["-"],
    ["--help"],
    ["shop.yaml", "-h"],
    ["shop.yaml", "more.yaml"],
    ["shop.yaml", "--watch"],
    ["shop.yaml", "--set"],
    ["shop.yaml", "--set="],
    ["shop.yaml", "--set", "--watch"],
    ["-f=more.yaml"],
    ["-fmore.yaml"],
    ["--", "shop.yaml"],
    ["--sets", "a=b"],
    ["--workers", "4"],
    [""],
]


@pytest.mark.parametrize("words", USUAL, ids=" ".join)
def test_a_usual_line_means_what_typer_reads_in_it(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def note(*args: Any, **options: Any) -> None:
        seen.append((args, options))

    monkeypatch.setattr(run_module, "serve_in_foreground", note)
    cli(["run", *words], standalone_mode=False)
    found = usual(words)
    assert found is not None
    assert seen == [((found["file"], found["overlays"], found["listen"], found["sets"]), {"watch": False})]


@pytest.mark.parametrize("words", UNUSUAL, ids=" ".join)
def test_any_other_line_is_left_to_typer(words: list[str]) -> None:
    assert usual(words) is None


def test_a_usual_line_does_not_import_typer(tmp_path: Path) -> None:
    code = (
        "import sys\nsys.argv = ['poolctl', 'run', 'none.yaml']\nfrom poolctl.cli.entry import main\n"
        "try:\n    main()\nfinally:\n    print([m for m in sys.modules if m.startswith(('typer', 'click'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=within(PATIENCE),
        check=False,
    )
    assert (done.returncode, done.stdout) == (78, "[]\n")


def test_what_is_wrong_in_the_environment_is_reported_as_a_wrong_option(tmp_path: Path) -> None:
    (tmp_path / "topology.yaml").write_text("app: demo\n")
    done = subprocess.run(
        [sys.executable, "-m", "poolctl", "run"],
        cwd=tmp_path,
        env={"POOLCTL_LOG": "loud", "PATH": "/bin:/usr/bin"},
        capture_output=True,
        text=True,
        timeout=within(PATIENCE),
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "loud" in done.stderr
