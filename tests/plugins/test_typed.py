"""Plugins are type-checked against what is installed: poolctl says that it has types (PEP 561), and they hold."""

from __future__ import annotations

import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from harness.machine import within

import poolctl

PACKAGE = Path(poolctl.__file__).parent
TEMPLATES = PACKAGE / "cli" / "plugin" / "templates"
WRONG = """
from poolctl.plugin import Dispatch, InboxView, Task


class Wrong(Dispatch):
    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> int:
        return inboxes[0].load
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create an environment in which poolctl is installed as by pip, in site-packages."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "poolctl").symlink_to(PACKAGE)
    (packages / "others.pth").write_text("\n".join(site.getsitepackages()))
    return folder / "bin" / "python"


def checked(python: Path, *files: Path) -> str:
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "--cache-dir"]
    command += [str(python.parents[1] / "cache"), *map(str, files)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=files[0].parent, timeout=within(60), check=False)
    return ran.stdout


@pytest.mark.timeout(within(120))
def test_the_templates_pass_and_a_wrong_strategy_does_not(python: Path, tmp_path: Path) -> None:
    files = []
    for template in sorted(TEMPLATES.glob("[!t]*.py")):
        files.append(tmp_path / template.name)
        files[-1].write_text(template.read_text())
    assert checked(python, *files) == f"Success: no issues found in {len(files)} source files\n"
    wrong = tmp_path / "wrong.py"
    wrong.write_text(WRONG)
    assert 'Return type "int" of "pick" incompatible' in checked(python, wrong)
