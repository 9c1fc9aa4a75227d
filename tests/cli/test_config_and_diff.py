"""poolctl config and poolctl diff, as users run them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harness.commands import invoke


@pytest.fixture
def two_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("old.yaml").write_text("name: shop\napp: demo\nenvironment: {TOKEN: hunter2}\n")
    Path("new.yaml").write_text("name: shop\napp: demo\nenvironment: {TOKEN: hunter3}\ntimeouts: {idle: 5s}\n")
    Path("wrong.yaml").write_text("app: dmo\n")
    return tmp_path


def test_config(two_versions: Path) -> None:
    status, shown, _ = invoke("config", "old.yaml", "--set", "backlog=5")
    assert status == 0
    assert shown.startswith("name: shop")
    assert "# old.yaml:1\n" in shown
    assert "# --set backlog=5\n" in shown
    assert "hunter2" not in shown
    assert "hunter2" in invoke("config", "old.yaml", "--show-secrets")[1]


def test_config_as_json(two_versions: Path) -> None:
    status, shown, _ = invoke("config", "old.yaml", "--format", "json")
    found = json.loads(shown)
    assert (status, found["format_version"]) == (0, "1.0")
    by_key = {each["key"]: each for each in found["settings"]}
    assert by_key["name"] == {"key": "name", "value": "shop", "source": "old.yaml:1", "masked": False}
    assert by_key["environment.TOKEN"] == {
        "key": "environment.TOKEN",
        "value": None,
        "source": "old.yaml:3",
        "masked": True,
    }


def test_diff(two_versions: Path) -> None:
    status, shown, _ = invoke("diff", "old.yaml", "new.yaml")
    assert status == 1
    assert shown == (
        "environment.TOKEN: (masked) -> (masked)\n"
        "    old.yaml:3 -> new.yaml:3\n"
        "    generation: workers read it at their start\n"
        "timeouts.idle: 1m -> 5s\n"
        "    default -> new.yaml:4\n"
        "    hot: the connections of a process share one value, which changes for all of them\n"
        "\n"
        "A running server could apply this by starting a new generation; unchanged addresses refuse no connections.\n"
    )


def test_diff_of_equivalent_topologies(two_versions: Path) -> None:
    text = Path("old.yaml").read_text()
    assert invoke("diff", "old.yaml", "-", stdin=text)[:2] == (0, "old.yaml and - are equivalent\n")


def test_diff_as_json(two_versions: Path) -> None:
    status, shown, _ = invoke("diff", "old.yaml", "new.yaml", "--format", "json")
    found = json.loads(shown)
    assert (status, found["by"]) == (1, "generation")
    assert [change["key"] for change in found["changes"]] == ["environment.TOKEN", "timeouts.idle"]
    assert found["changes"][1]["new"] == {"value": "5s", "source": "new.yaml:4", "masked": False}
    assert "hunter" not in shown


@pytest.mark.parametrize(
    "words", [["config", "wrong.yaml"], ["diff", "old.yaml", "wrong.yaml"], ["config", "none.yaml"]]
)
def test_invalid_topologies(two_versions: Path, words: list[str]) -> None:
    status, shown, said = invoke(*words)
    assert (status, shown) == (2, "")
    assert "error[PC" in said
