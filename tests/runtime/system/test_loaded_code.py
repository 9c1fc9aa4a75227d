"""Modules whose files have changed since they were loaded."""

from __future__ import annotations

import importlib
import os
import sys
import time
import zipfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from poolctl.runtime.system import loaded_code
from poolctl.runtime.system.loaded_code import CLOCK_SECONDS, LoadedCode

NAME = "code_of_this_test"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other modules of this process have nothing to do with it: somebody may be working on them."""
    kept = {name: module for name, module in sys.modules.items() if not name.startswith(("poolctl", "test", "harness"))}
    monkeypatch.setattr(loaded_code, "sys", SimpleNamespace(modules=kept))


def load(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(folder))
    file = folder / f"{NAME}.py"
    loaded_code.sys.modules[NAME] = importlib.import_module(NAME)
    del sys.modules[NAME]
    return file


def settle() -> None:
    time.sleep(2 * CLOCK_SECONDS)  # until the clock of the file system is certainly past what was written


def write(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{NAME}.py").write_text("")
    settle()


def test_a_file_that_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    code = LoadedCode()
    file = load(tmp_path, monkeypatch)
    assert code.newer() == ""
    settle()
    file.write_text("")
    os.utime(file, (1, 1))  # as tools do that keep the times of files
    assert code.newer() == str(file)


def test_a_link_that_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "other"):
        write(tmp_path / name)
    (tmp_path / "current").symlink_to("one")
    settle()
    code = LoadedCode()
    load(tmp_path / "current", monkeypatch)
    assert code.newer() == ""
    settle()
    (tmp_path / "next").symlink_to("other")
    (tmp_path / "next").rename(tmp_path / "current")
    assert code.newer() == str(tmp_path / "current" / f"{NAME}.py")


def test_what_is_loaded_later_may_be_newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = LoadedCode()
    settle()
    write(tmp_path)
    file = code.load(lambda: load(tmp_path, monkeypatch))
    assert code.newer() == ""
    settle()
    file.write_text("")
    assert code.newer() == str(file)


def test_a_file_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one may have taken its place, as when a module becomes a package."""
    write(tmp_path / "release")
    code = LoadedCode()
    file = load(tmp_path / "release", monkeypatch)
    assert code.newer() == ""
    settle()
    file.unlink()
    assert code.newer() == str(file)
    code = LoadedCode()
    settle()
    (tmp_path / "release").rename(tmp_path / "old")
    assert code.newer() == str(file)


def test_an_archive_that_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one.zip", "other.zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(f"{NAME}.py", "")
    settle()
    code = LoadedCode()
    load(tmp_path / "one.zip", monkeypatch)
    assert code.newer() == ""
    settle()
    (tmp_path / "other.zip").rename(tmp_path / "one.zip")
    assert code.newer() == str(tmp_path / "one.zip" / f"{NAME}.py")


@pytest.mark.parametrize("path", ["/no/such/file.py", "/no/such\0file.py", "<made up>", "\0", 7, None])
def test_modules_without_a_file(path: object) -> None:
    module = ModuleType(NAME)
    module.__file__ = path  # type: ignore[assignment]
    loaded_code.sys.modules[NAME] = module
    assert LoadedCode().newer() == ""
