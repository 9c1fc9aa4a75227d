"""What the project says of itself is so: checks, versions, metadata."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import poolctl
from poolctl import plugin
from poolctl.assembly.plugins.load import BASES, base

ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SAYS_VERSION = [
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "poolctl" / "cli" / "plugin" / "templates").glob("*.py"),
    *(ROOT / "plugins").glob("*/poolctl_*.py"),
    ROOT / "CONTRIBUTING.md",
]


def recipe(target: str) -> list[str]:
    """The commands of a target of the Makefile."""
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found, f"the Makefile has no target {target}"
    return [line.strip() for line in found[1].splitlines()]


def test_hooks_run_the_commands_of_make_check() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["entry"] for hook in hooks] == [line.replace("$(BIN)", ".venv/bin") for line in recipe("check")]


def test_the_page_names_targets_that_exist() -> None:
    text = f"{CONTRIBUTING}{(ROOT / '.ci' / 'run').read_text()}"
    named = set(re.findall(r"(?:^|`)make (?:[A-Z]+=\S+ )?([a-z]+)", text, re.MULTILINE))
    assert {"check", "test", "short", "coverage"} <= named
    for target in named:
        recipe(target)


@pytest.mark.parametrize("axis", BASES)
def test_each_axis_has_the_version_of_the_interface(axis: str) -> None:
    kind = base(axis)
    assert kind.interface == plugin.INTERFACE
    assert kind in [getattr(plugin, name) for name in plugin.__all__]


@pytest.mark.parametrize("file", SAYS_VERSION, ids=lambda file: str(file.relative_to(ROOT)))
def test_pages_templates_and_plugins_say_that_version(file: Path) -> None:
    assert set(re.findall(r"interface: ClassVar\[int\] = (\d+)", file.read_text())) <= {str(plugin.INTERFACE)}


def test_the_policy_says_that_version() -> None:
    assert f"`poolctl.plugin.INTERFACE`, currently {plugin.INTERFACE}." in CONTRIBUTING


def test_what_plugins_may_import_is_there() -> None:
    assert plugin.__all__ == sorted(plugin.__all__, key=lambda name: (not name.isupper(), name))
    assert [name for name in plugin.__all__ if not hasattr(plugin, name)] == []


def test_the_changelog_has_the_version() -> None:
    headings = re.findall(r"^## (\S+),", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == poolctl.__version__


@pytest.mark.parametrize("file", [ROOT / "pyproject.toml", *(ROOT / "plugins").glob("*/pyproject.toml")], ids=str)
def test_the_licence_is_an_expression(file: Path) -> None:
    project = tomllib.loads(file.read_text())["project"]
    assert project["license"] == "MIT"
    assert [each for each in project.get("classifiers", ()) if each.startswith("License ::")] == []


def test_what_the_metadata_names_is_there() -> None:
    assert (ROOT / PROJECT["readme"]).exists()
    for pattern in PROJECT["license-files"]:
        assert list(ROOT.glob(pattern)) != []
    versions = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))
    assert f">={versions[0]}" == PROJECT["requires-python"]


def test_each_exception_to_a_rule_has_its_reason() -> None:
    files = [file for name in ("poolctl", "plugins", "bench") for file in (ROOT / name).rglob("*.py")]
    marks = [line for file in files for line in file.read_text().splitlines() if re.search(r"# (ruff: )?noqa", line)]
    assert len(marks) > 50
    assert [line for line in marks if not re.search(r"# (ruff: )?noqa: [A-Z0-9, ]+  # \w", line)] == []
