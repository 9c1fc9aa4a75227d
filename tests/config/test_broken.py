"""Broken and unwise topologies as people write them, and what `validate` prints about them.

``tests/broken`` has a file for each mistake, and next to it the output of ``poolctl validate --no-environment``: the
code, the location, the lines with carets, and the fix. Leading comments may give further arguments and environment
variables. To write a new one: add the file, run this module with BROKEN_UPDATE=1, and read the output.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from poolctl.cli.main import cli
from poolctl.config.codes import CODES

FOLDER = Path(__file__).parents[1] / "broken"
FILES = sorted(FOLDER.glob("*.yaml"))
HEAD = re.compile(r"# (arguments|environment): (.*)\n")
BELOW_CODE = re.compile(r"^ +\|[ ^]*~[ ~^]*\n", re.MULTILINE)  # marks in tracebacks, of which Python 3.13 has more


def printed(file: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, int]:
    """What is printed about a file, and the exit code."""
    settings = dict(HEAD.findall(file.read_bytes().decode("latin-1")))
    for name in re.findall(r"\$\{?(\w+)", file.read_bytes().decode("latin-1")):
        monkeypatch.delenv(name, raising=False)
    for assignment in shlex.split(settings.get("environment", "")):
        monkeypatch.setenv(*assignment.split("=", 1))
    monkeypatch.chdir(FOLDER)
    arguments = ["validate", "--no-environment", file.name, *shlex.split(settings.get("arguments", ""))]
    done = CliRunner().invoke(cli, arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    shown = done.stdout.replace(str(FOLDER), "/srv/shop").replace(sys.executable, "/usr/bin/python3")
    return BELOW_CODE.sub("", shown), done.exit_code


def test_there_are_enough_files() -> None:
    assert len(FILES) >= 120


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_is_printed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, status = printed(file, monkeypatch)
    if os.environ.get("BROKEN_UPDATE"):
        file.with_suffix(".txt").write_text(shown)
    assert shown == file.with_suffix(".txt").read_text()
    unreadable = "PC100" in shown
    assert status == (2 if unreadable else int("error[" in shown))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_finding_has_a_fix(file: Path) -> None:
    """Except where the message is enough (what was expected), or several findings share one fix."""
    text = file.with_suffix(".txt").read_text()
    findings = re.split(r"\n\n(?=error|warning)", text.rpartition("\n\n")[0])
    assert findings
    for finding in findings:
        alone = "expected" in finding or "PC301" in finding or "PC100" in finding
        assert "= help: " in finding or alone, finding


def test_every_code_except_those_of_the_host_occurs() -> None:
    shown = "".join(file.with_suffix(".txt").read_text() for file in FILES)
    found = set(re.findall(r"(?:error|warning|note)\[(PC\d+)\]", shown))
    assert found | {"PC103"} == {code for code in CODES if not code.startswith("PC4")}
