"""The PID file: atomic, of one living process, and nobody else's to take."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness.machine import PATIENCE

from poolctl.errors import PoolctlError
from poolctl.runtime.system.pid_file import PidFile

HOLDER = """
import sys
from poolctl.runtime.system.pid_file import PidFile
PidFile(sys.argv[1]).write()
print("held", flush=True)
sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_it_is_written_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "shop.pid"
    file = PidFile(str(path))
    file.write()
    assert path.read_text() == f"{os.getpid()}\n"
    assert os.listdir(tmp_path) == ["shop.pid"]
    file.remove()
    file.remove()
    file.close()
    assert os.listdir(tmp_path) == []


def test_that_of_a_living_process_is_refused_and_that_of_a_dead_one_replaced(tmp_path: Path) -> None:
    path = tmp_path / "shop.pid"
    with holder(path) as other:
        try:
            with pytest.raises(PoolctlError, match=f"belongs to process {other.pid}, which is running"):
                PidFile(str(path)).write()
            assert path.read_text() == f"{other.pid}\n"
            assert os.listdir(tmp_path) == ["shop.pid"]
        finally:
            other.kill()
            other.wait(PATIENCE)
    file = PidFile(str(path))
    file.write()
    assert path.read_text() == f"{os.getpid()}\n"
    file.remove()
    file.close()


def test_one_with_the_number_of_some_other_process_is_stale(tmp_path: Path) -> None:
    path = tmp_path / "shop.pid"
    path.write_text(f"{os.getppid()}\n")
    file = PidFile(str(path))
    file.write()
    assert path.read_text() == f"{os.getpid()}\n"
    file.remove()
    file.close()


@pytest.mark.parametrize("text", ["precious\n", "1" * 100])
def test_another_file_stays(tmp_path: Path, text: str) -> None:
    path = tmp_path / "shop.pid"
    path.write_text(text)
    with pytest.raises(PoolctlError, match="is not a PID file"):
        PidFile(str(path)).write()
    assert path.read_text() == text
    assert os.listdir(tmp_path) == ["shop.pid"]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("1\n")
    (tmp_path / "shop.pid").symlink_to(tmp_path / "other")
    with pytest.raises(PoolctlError, match="cannot be written"):
        PidFile(str(tmp_path / "shop.pid")).write()
    assert (tmp_path / "other").read_text() == "1\n"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PoolctlError, match=r"pid_file: .*/none/shop\.pid cannot be written: No such file"):
        PidFile(str(tmp_path / "none" / "shop.pid")).write()


def test_who_put_its_own_there_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "shop.pid"
    file = PidFile(str(path))
    file.write()
    path.unlink()
    path.write_text("1\n")
    file.remove()
    file.close()
    assert path.read_text() == "1\n"


def test_a_process_takes_over_that_of_the_one_it_replaces(tmp_path: Path) -> None:
    path = tmp_path / "shop.pid"
    process = holder(path)
    file = PidFile(str(path))
    file.write(process.pid)
    assert path.read_text() == f"{process.pid}\n"  # until it is the server
    assert len(os.listdir(tmp_path)) == 2
    file.place()
    file.place()
    assert path.read_text() == f"{os.getpid()}\n"
    process.communicate()
    assert os.listdir(tmp_path) == ["shop.pid"]
    file.remove()
    file.close()
    assert os.listdir(tmp_path) == []


def test_one_that_does_not_take_over_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "shop.pid"
    process = holder(path)
    file = PidFile(str(path))
    file.write(process.pid)
    file.remove()
    file.close()
    assert os.listdir(tmp_path) == ["shop.pid"]
    with pytest.raises(PoolctlError, match="stop it first"):
        PidFile(str(path)).write(process.pid + 1)  # it replaces another one
    process.communicate()


def test_it_is_restored_after_one_that_has_failed(tmp_path: Path) -> None:
    path = tmp_path / "shop.pid"
    file = PidFile(str(path))
    file.write()
    (tmp_path / "shop.pid.99999999").write_text("99999999\n")  # killed before it took over
    file.restore(99999999)
    assert path.read_text() == f"{os.getpid()}\n"
    (tmp_path / "new").write_text("99999999\n")
    (tmp_path / "new").rename(path)  # and afterwards
    file.restore(99999999)
    assert path.read_text() == f"{os.getpid()}\n"
    file.remove()
    file.close()
    assert os.listdir(tmp_path) == []
