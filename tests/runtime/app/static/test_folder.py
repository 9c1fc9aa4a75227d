"""Looking up files below a folder, which no path may leave, without a server."""

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
def public_folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_bytes(SECRET)
    made = tmp_path / "public"
    (made / "a" / "b").mkdir(parents=True)
    (made / "a" / "file").write_bytes(b"file")
    return made


def content_of(folder: Path, path: bytes) -> bytes | None:
    """Return the content of the file at a path, b"a folder" for a folder, None for nothing."""
    found = find(str(folder), path.split(b"/"))
    if found is None:
        return None
    try:
        return b"a folder" if found.is_folder else os.read(found.file, 1000)
    finally:
        os.close(found.file)


def test_files_and_folders_are_found(public_folder: Path) -> None:
    assert content_of(public_folder, b"a/file") == b"file"
    assert content_of(public_folder, b"a/b") == b"a folder"
    assert content_of(public_folder, b"") == b"a folder"
    assert content_of(public_folder, b"a/nothing") is None
    assert content_of(public_folder, b"a/file/nothing") is None


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
def test_links(public_folder: Path, target: str, found: bytes | None) -> None:
    (public_folder / "link").symlink_to(target)
    assert content_of(public_folder, b"link") == found


def test_chains_of_links_are_bounded(public_folder: Path) -> None:
    (public_folder / "link-0").symlink_to("a/file")
    for number in range(static_folder.LINKS + 1):
        (public_folder / f"link-{number + 1}").symlink_to(f"link-{number}")
    assert content_of(public_folder, f"link-{static_folder.LINKS - 1}".encode()) == b"file"
    assert content_of(public_folder, f"link-{static_folder.LINKS}".encode()) is None


def test_a_path_has_a_bounded_number_of_names(public_folder: Path) -> None:
    (public_folder / "long").symlink_to("a/../" * static_folder.PATH_NAMES + "a/file")
    assert content_of(public_folder, b"long") is None


def test_no_descriptor_is_left_open(public_folder: Path) -> None:
    os.mkfifo(public_folder / "fifo")
    before = len(os.listdir("/proc/self/fd"))
    for path in (b"a/file", b"a/b", b"a/nothing", b"fifo", b"a/../..", b"a/b/c"):
        content_of(public_folder, path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_replaced_between_its_check_and_its_opening_is_not_served(
    public_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attacker who can write to the folder gets the best moment there is: right after the check."""
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
            (public_folder / "file").write_bytes(b"top")
            assert content_of(public_folder, path) is None
        for each in ("a", "file"):
            if (public_folder / f"{each}-away").exists():
                (public_folder / each).unlink()
                (public_folder / f"{each}-away").rename(public_folder / each)


def test_swapping_folders_for_links_meanwhile_gains_nothing(public_folder: Path) -> None:
    """For at least a fifth of a second, a folder alternates with a link to its parent."""
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            (public_folder / "a").rename(public_folder / "x")
            (public_folder / "a").symlink_to("..")
            (public_folder / "a").unlink()
            (public_folder / "x").rename(public_folder / "a")

    swapping = threading.Thread(target=swap)
    swapping.start()
    seen: set[bytes | None] = set()
    try:
        begin = time.monotonic()
        # for a while, and until the folder itself was found once
        while (waited := time.monotonic() - begin) < 0.2 or (b"file" not in seen and waited < within(10)):
            seen |= {
                content_of(public_folder, b"a/file"),
                content_of(public_folder, b"a/secret.txt"),
                content_of(public_folder, b"a/public/a/file"),
            }
    finally:
        over.set()
        swapping.join()
    assert seen <= {b"file", None}
    assert b"file" in seen
