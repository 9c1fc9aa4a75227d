"""Commands of poolctl, and what they print."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from typer.testing import CliRunner

from harness.launcher import launcher
from harness.server import ROOT
from poolctl.cli.main import cli


def poolctl(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own; its variables are those of the test and these."""
    return launcher().run([*words], {**os.environ, "PYTHONPATH": str(ROOT), **environment}, cwd)


def invoke(*words: str, stdin: str | None = None) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command in this process."""
    done = CliRunner().invoke(cli, words, input=stdin)
    assert isinstance(done.exception, SystemExit | None), done.exception
    return done.exit_code, done.stdout, done.stderr
