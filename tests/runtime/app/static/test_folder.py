"""The folder that nobody gets out of, without a server in front of it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from harness.machine import within

from poolctl.runtime.app.static import folder as static_folder
from poolctl.runtime.app.static.folder import find

SECRET = b"secret"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_bytes(SECRET)
    made = tmp_path / "public"
    (made / "a" / "b").mkdir(parents=True)
    (made / "a" / "file").write_bytes(b"file")
    return made


def read(folder: Path, path: bytes) -> bytes | None:
    """What is found at a path; names of folders come as a list of bytes."""
    found = find(str(folder), path.split(b"/"))
    if found is None:
        return None
    try:
        return b"a folder" if found.is_folder else os.read(found.file, 1000)
    finally:
        os.close(found.file)


def test_what_is_there(folder: Path) -> None:
    assert read(folder, b"a/file") == b"file"
    assert read(folder, b"a/b") == b"a folder"
    assert read(folder, b"") == b"a folder"
    assert read(folder, b"a/nothing") is None
    assert read(folder, b"a/file/nothing") is None


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("a/file", b"file"),
        ("./a/./file", b"file"),
        ("a/b/../file", b"file"),
        ("a//file", b"file"),
        ("a/b/../../a", b"a folder"),
        ("a/b/../../../secret.txt", None),
        ("..", None),
        ("../public/a/file", None),
        ("a/file/", None),
        ("a/file/..", None),
        ("/etc/passwd", None),
        ("link", None),
    ],
)
def test_links(folder: Path, target: str, found: bytes | None) -> None:
    (folder / "link").symlink_to(target)
    assert read(folder, b"link") == found


def test_links_of_links_come_to_an_end(folder: Path) -> None:
    (folder / "link-0").symlink_to("a/file")
    for number in range(static_folder.LINKS + 1):
        (folder / f"link-{number + 1}").symlink_to(f"link-{number}")
    assert read(folder, f"link-{static_folder.LINKS - 1}".encode()) == b"file"
    assert read(folder, f"link-{static_folder.LINKS}".encode()) is None


def test_a_path_has_a_bounded_number_of_names(folder: Path) -> None:
    (folder / "long").symlink_to("a/../" * static_folder.NAMES + "a/file")
    assert read(folder, b"long") is None


def test_no_descriptor_is_left_open(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    before = len(os.listdir("/proc/self/fd"))
    for path in (b"a/file", b"a/b", b"a/nothing", b"fifo", b"a/../..", b"a/b/c"):
        read(folder, path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_replaced_between_a_look_and_its_opening_is_not_served(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can write to the folder is given the best moment there is: right after the look."""
    real = os.lstat

    def replace_by_a_link(name: bytes, *, dir_fd: int) -> os.stat_result:
        found = real(name, dir_fd=dir_fd)
        path = Path(os.readlink(f"/proc/self/fd/{dir_fd}")) / os.fsdecode(name)
        if name != b"secret.txt":
            path.rename(f"{path}-away")
            path.symlink_to(".." if name == b"a" else "../secret.txt")
        return found

    def replace_by_a_fifo(name: bytes, *, dir_fd: int) -> os.stat_result:
        found = real(name, dir_fd=dir_fd)
        if name == b"file":
            os.unlink(name, dir_fd=dir_fd)
            os.mkfifo(name, dir_fd=dir_fd)
        return found

    traps = {b"a/secret.txt": replace_by_a_link, b"file": replace_by_a_link, b"a/file": replace_by_a_fifo}
    for path, replace in traps.items():
        with monkeypatch.context() as patch:
            patch.setattr(static_folder.os, "lstat", replace)
            (folder / "file").write_bytes(b"top")
            assert read(folder, path) is None
        for each in ("a", "file"):
            if (folder / f"{each}-away").exists():
                (folder / each).unlink()
                (folder / f"{each}-away").rename(folder / each)


def test_who_swaps_folders_for_links_meanwhile_gains_nothing(folder: Path) -> None:
    """For a fifth of a second, a folder is by turns itself and a link to the one above."""
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            (folder / "a").rename(folder / "x")
            (folder / "a").symlink_to("..")
            (folder / "a").unlink()
            (folder / "x").rename(folder / "a")

    swapping = threading.Thread(target=swap)
    swapping.start()
    seen: set[bytes | None] = set()
    try:
        begin = time.monotonic()
        # a while, and until the folder was met as itself
        while (waited := time.monotonic() - begin) < 0.2 or (b"file" not in seen and waited < within(10)):
            seen |= {read(folder, b"a/file"), read(folder, b"a/secret.txt"), read(folder, b"a/public/a/file")}
    finally:
        over.set()
        swapping.join()
    assert seen <= {b"file", None}
    assert b"file" in seen
