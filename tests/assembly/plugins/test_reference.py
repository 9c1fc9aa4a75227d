"""Where a plugin is: files named by topologies, and entry points of installed distributions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from poolctl.assembly.plugins import reference
from poolctl.assembly.plugins.load import PluginError, load
from poolctl.assembly.plugins.reference import NotFound, Reference, find, is_file


@pytest.mark.parametrize(
    "text", ["./a.py:A", "../a.py:A", "/srv/a.py:A", "a.py:A", "~/a.py:A", "plugins/a.py:A", "a.py", "./a", "/srv/a"]
)
def test_a_value_that_means_a_file(text: str) -> None:
    assert is_file(text)


@pytest.mark.parametrize(
    "text", ["weighted", "half-sync/half-reactive", "leader/followers", "half-sync/half-asinc", "my.strategy", "a.pyx"]
)
def test_a_value_that_means_a_name(text: str) -> None:
    assert not is_file(text)


def test_a_file_is_found_next_to_the_topology(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("")
    assert find("dispatch", "./mine.py:A.B", tmp_path) == Reference(
        "dispatch", "./mine.py:A.B", "A.B", path=str(tmp_path / "mine.py")
    )
    assert find("dispatch", f"{tmp_path}/mine.py:A", Path("/nowhere")) == Reference(
        "dispatch", f"{tmp_path}/mine.py:A", "A", path=str(tmp_path / "mine.py")
    )


def distribution(folder: Path, name: str, entries: str, version: str = "1.0") -> None:
    """Write the metadata of an installed distribution."""
    there = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    there.mkdir(parents=True)
    (there / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (there / "entry_points.txt").write_text(entries)


@pytest.fixture
def site_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed distributions."""
    monkeypatch.syspath_prepend(tmp_path)
    reference.installed.cache_clear()
    yield tmp_path
    reference.installed.cache_clear()


def test_an_entry_point_is_found_by_its_name_and_nothing_is_imported(site_packages: Path) -> None:
    distribution(site_packages, "shop-dispatch", "[poolctl.dispatch]\nheavy-first = no_such_module:Heavy.First\n")
    found = find("dispatch", "heavy-first", Path())
    assert found == Reference(
        "dispatch", "heavy-first", "Heavy.First", module="no_such_module", distribution="shop-dispatch 1.0"
    )
    assert find("app", "heavy-first", Path()) is None


def test_a_name_of_two_distributions_is_ambiguous(site_packages: Path) -> None:
    distribution(site_packages, "one", "[poolctl.dispatch]\nmine = one:A\n")
    distribution(site_packages, "other", "[poolctl.dispatch]\nmine = other:A\n", "2.3")
    found = find("dispatch", "mine", Path())
    assert isinstance(found, NotFound)
    assert "one 1.0" in found.message
    assert "other 2.3" in found.message
    assert len(reference.references("dispatch")) == 2


def test_a_distribution_on_the_path_twice_counts_once(site_packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(site_packages, "one", "[poolctl.dispatch]\nmine = one:A\n")
    distribution(site_packages / "again", "one", "[poolctl.dispatch]\nmine = one:A\n")
    monkeypatch.syspath_prepend(site_packages / "again")
    assert isinstance(find("dispatch", "mine", Path()), Reference)


def test_a_path_that_cannot_be_resolved_is_reported(tmp_path: Path) -> None:
    (tmp_path / "loop.py").symlink_to("loop.py")
    for path in ("~nobody-of-this-name/a.py", "./loop.py", f"./{'a' * 5000}.py"):
        found = find("dispatch", f"{path}:A", tmp_path)
        assert isinstance(found, NotFound)
        assert "cannot be found" in found.message
        assert len(found.message) < 400


def test_an_entry_point_without_a_class_is_reported(site_packages: Path) -> None:
    distribution(site_packages, "one", "[poolctl.dispatch]\nmine = one\n")
    (site_packages / "one.py").write_text("")
    found = find("dispatch", "mine", Path())
    assert isinstance(found, Reference)
    with pytest.raises(PluginError, match=r'names the module "one" but no class; write mine = "one:Mine"'):
        load(found)
