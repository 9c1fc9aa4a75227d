"""Which program a path means: nothing outside of the folder, nothing that may not be executed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from poolctl.runtime.app.cgi.place import FORBIDDEN, NOT_FOUND, in_folder, is_unambiguous


@pytest.mark.parametrize(
    ("raw", "path", "clear"),
    [
        (b"/a/b", b"/a/b", True),
        (b"/", b"/", True),
        (b"/a..b/...", b"/a..b/...", True),
        (b"*", b"*", False),
        (b"/a%2Fb", b"/a/b", False),
        (b"/a%2fb", b"/a/b", False),
        (b"/a/../b", b"/a/../b", False),
        (b"/a/%2e%2e/b", b"/a/../b", False),
        (b"/./a", b"/./a", False),
        (b"/a%00", b"/a\0", False),
    ],
)
def test_a_path_has_one_interpretation(raw: bytes, path: bytes, clear: bool) -> None:
    assert is_unambiguous(raw, path) is clear


@pytest.fixture
def program_folder(tmp_path: Path) -> bytes:
    """A folder with programs in it, and links."""
    folder = tmp_path / "programs"
    (folder / "deep").mkdir(parents=True)
    for name, mode in (("run", 0o755), ("data", 0o644), ("deep/run", 0o755), ("../outside", 0o755)):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(mode)
    (folder / "inward").symlink_to("deep/run")
    (folder / "outward").symlink_to("../outside")
    os.mkfifo(folder / "pipe")
    return os.fsencode(folder.resolve())


@pytest.mark.parametrize(
    ("path", "name", "info"),
    [
        (b"/run", b"/run", b""),
        (b"/run/", b"/run", b"/"),
        (b"/run/a//b", b"/run", b"/a//b"),
        (b"/deep/run/run", b"/deep/run", b"/run"),
        (b"/inward/x", b"/inward", b"/x"),
    ],
)
def test_the_path_is_divided_behind_the_program(program_folder: bytes, path: bytes, name: bytes, info: bytes) -> None:
    assert in_folder(program_folder, path) == (program_folder + name, name, info)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"/", NOT_FOUND),
        (b"/none", NOT_FOUND),
        (b"/deep", NOT_FOUND),
        (b"//run", NOT_FOUND),
        (b"/pipe", NOT_FOUND),
        (b"/outward", NOT_FOUND),
        (b"/data", FORBIDDEN),
        (b"/data/x", FORBIDDEN),
    ],
)
def test_what_is_no_program_has_a_status(program_folder: bytes, path: bytes, status: int) -> None:
    if status == FORBIDDEN and os.access(os.path.join(program_folder, b"data"), os.X_OK):
        pytest.skip("this user may execute it")
    assert in_folder(program_folder, path) == status


def test_a_folder_whose_name_begins_alike_is_another(program_folder: bytes) -> None:
    beside = program_folder + b"-more"
    os.mkdir(beside)
    program = os.path.join(beside, b"run")
    Path(os.fsdecode(program)).write_text("#!/bin/sh\n")
    os.chmod(program, 0o755)
    os.symlink(program, os.path.join(program_folder, b"near"))
    assert in_folder(program_folder, b"/near") == NOT_FOUND
