"""What the watcher looks at, and what it takes for a change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from poolctl.supervision import watcher
from poolctl.supervision.configuration import WatchedFiles
from poolctl.supervision.watcher import Watcher, look, watch


@pytest.fixture
def lifeline() -> Iterator[tuple[int, int]]:
    """Both ends of a lifeline, the reader's first."""
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


def save(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x = 1\n")


def seen(folder: Path, *files: Path) -> set[str]:
    found = look(WatchedFiles(tuple(map(str, files)), (str(folder),))).stamps
    return {os.path.relpath(path, folder) for path in found}


def test_code_is_watched_wherever_it_is(tmp_path: Path) -> None:
    save(tmp_path, "app.py", "shop/__init__.py", "shop/views/cart.py", ".env", ".env.local")
    save(tmp_path, "README.md", ".#app.py", "app.py~", "shop/data.json")
    assert seen(tmp_path) == {"app.py", "shop/__init__.py", "shop/views/cart.py", ".env", ".env.local"}


def test_what_is_not_the_apps_own_is_left_out(tmp_path: Path) -> None:
    save(tmp_path, "app.py", ".git/hook.py", "__pycache__/a.py", "node_modules/b.py", "env/c.py", "env/pyvenv.cfg")
    save(tmp_path, "lib/site-packages/d.py")
    (tmp_path / "again").symlink_to(tmp_path)
    assert seen(tmp_path) == {"app.py"}


def test_files_of_the_topology_are_watched_whatever_their_names(tmp_path: Path) -> None:
    save(tmp_path, "shop.yaml", "keys/cert.pem")
    files = tmp_path / "shop.yaml", tmp_path / "keys/cert.pem", tmp_path / "missing"
    assert seen(tmp_path, *files) == {"shop.yaml", "keys/cert.pem"}


def test_a_look_is_bounded_and_begins_at_the_top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "LOOK_ENTRIES", 10)
    save(tmp_path, "app.py", "a/b/deep.py", *(f"a/{number}.py" for number in range(20)))
    found = look(WatchedFiles((), (str(tmp_path),)))
    assert str(tmp_path / "app.py") in found.stamps
    assert len(found.stamps) <= 10
    assert not found.whole
    assert look(WatchedFiles((), (str(tmp_path / "a" / "b"),))).whole


def test_a_change_is_what_differs(tmp_path: Path, lifeline: tuple[int, int]) -> None:
    save(tmp_path, "edited.py", "touched.py", "removed.py", "replaced.py", "same.py")
    watching = Watcher(WatchedFiles((), (str(tmp_path),)), lifeline[0])
    assert watching.changes() == set()
    (tmp_path / "edited.py").write_text("x = 10\n")
    os.utime(tmp_path / "touched.py", ns=(1, 1))
    (tmp_path / "removed.py").unlink()
    status = os.stat(tmp_path / "replaced.py")
    save(tmp_path, "added.py", "replacement")
    os.utime(tmp_path / "replacement", ns=(status.st_atime_ns, status.st_mtime_ns))
    (tmp_path / "replacement").replace(tmp_path / "replaced.py")
    names = {"edited.py", "touched.py", "removed.py", "replaced.py", "added.py"}
    assert watching.changes() == {str(tmp_path / name) for name in names}
    assert watching.changes() == set()


@pytest.mark.parametrize(("age", "told"), [(0, b"[]"), (-3600, b"")])
def test_what_changed_before_the_first_look_is_told(tmp_path: Path, age: int, told: bytes) -> None:
    """The watcher before may have died. A file from the future would be told of again and again."""
    save(tmp_path, "app.py")
    now = os.stat(tmp_path / "app.py").st_mtime
    os.utime(tmp_path / "app.py", (now + age, now + age))
    reader, reports = os.pipe()
    begun, ended = os.pipe()
    os.close(ended)  # it has only the time for its first look
    assert watch(WatchedFiles((), (str(tmp_path),)), now - 60, reports, begun) == 0
    os.close(reports)
    os.close(begun)
    with open(reader, "rb") as file:
        assert file.read() == (b'["%b"]\n' % bytes(tmp_path / "app.py") if told else b"")


def test_a_supervisor_that_has_gone_ends_it(tmp_path: Path, lifeline: tuple[int, int]) -> None:
    save(tmp_path, "app.py")
    reader, reports = os.pipe()
    os.close(reader)
    assert watch(WatchedFiles((), (str(tmp_path),)), 0.0, reports, lifeline[0]) == 0
    os.close(reports)
