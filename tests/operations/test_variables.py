"""Variables of the key `environment` that a process reads only once, and temporary files in all circumstances."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client
from harness.commands import poolctl
from harness.server import Server

from poolctl.assembly.variables import set_too_late, set_variables
from poolctl.runtime.buffers import temporary

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
NOBODY = pwd.getpwnam("nobody")
UPLOAD = b"x" * 600_000  # more than `spool`, and more than fits into a message to a worker
APP = """
import json, os, tempfile, time
try:
    import beside
except ModuleNotFoundError:
    beside = None

def app(environ, start_response):
    size = len(environ["wsgi.input"].read())
    try:
        with tempfile.NamedTemporaryFile() as file:
            place = os.path.dirname(file.name)
    except OSError:
        place = ""
    start_response("200 OK", [])
    return [json.dumps({"size": size, "place": place, "zone": time.strftime("%Z", time.localtime(0)),
                        "beside": beside and beside.WHERE}).encode()]
"""
MODELS: list[dict[str, Any]] = [
    {"ownership": "half-sync/half-reactive"},
    {"ownership": "half-sync/half-async"},
    {"ownership": {"use": "leader/followers", "lock": "file"}},
    {"ownership": "reuse-port"},
]


@pytest.fixture
def variables_folder(open_folder: Path) -> Path:
    """With the app and a module beside it."""
    (open_folder / "variables_app.py").write_text(APP)
    (open_folder / "more").mkdir()
    (open_folder / "more" / "beside.py").write_text('WHERE = "more"\n')
    return open_folder


def upload(port: int) -> dict[str, Any]:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(UPLOAD)
    with Client(port) as client:
        client.send(head + UPLOAD)
        answer = client.answer()
        assert answer.status == 200, answer
        found: dict[str, Any] = json.loads(answer.body)
        return found


@as_root
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_an_upload_after_a_change_of_user(variables_folder: Path, model: dict[str, Any]) -> None:
    """A TMPDIR of root, which the user nobody cannot enter; and the variables, each with its effect."""
    (variables_folder / "of root").mkdir(mode=0o700)
    topology = {"app": {"wsgi": "variables_app:app"}, "pool": {"size": 1}, "user": "nobody", **model}
    topology["environment"] = {"TZ": "XST-3", "PYTHONPATH": "more"}
    with Server(
        topology, variables_folder, environment={"TMPDIR": str(variables_folder / "of root"), "PYTHONSAFEPATH": ""}
    ) as server:
        found = upload(server.port)
        assert found.pop("place") not in ("", str(variables_folder / "of root"))
        assert found == {"size": len(UPLOAD), "zone": "XST", "beside": "more"}
        assert server.stop() == 0


@pytest.mark.parametrize("preload", [False, True])
def test_tmpdir_in_the_file(variables_folder: Path, preload: bool) -> None:
    (variables_folder / "mine").mkdir()
    topology = {"app": {"wsgi": "variables_app:app"}, "pool": {"size": 1}, "preload": preload}
    topology["environment"] = {"TMPDIR": str(variables_folder / "mine")}
    with Server(topology, variables_folder) as server:
        assert upload(server.port)["place"] == str(variables_folder / "mine")


READ_ONLY = 'for f in /tmp /var/tmp; do mount --bind $f $f && mount -o remount,bind,ro $f || exit 99; done; exec "$@"'


def may_mount() -> bool:
    words = ["unshare", "-m", "sh", "-c", READ_ONLY, "sh", "true"]
    return os.geteuid() == 0 and subprocess.run(words, check=False, capture_output=True, timeout=20).returncode == 0


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_a_read_only_root_keeps_bodies_in_memory(variables_folder: Path, model: dict[str, Any]) -> None:
    if not may_mount():
        pytest.skip("only root may mount")
    topology = {"app": {"wsgi": "variables_app:app"}, "pool": {"size": 1}, **model}
    prefix = ("unshare", "-m", "sh", "-c", READ_ONLY, "sh")
    environment = dict.fromkeys(("TMPDIR", "TEMP", "TMP", "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"), "")
    with Server(topology, variables_folder, prefix=prefix, environment=environment) as server:
        found = upload(server.port)
        assert (found["size"], found["place"]) == (len(UPLOAD), "")
        assert server.log.count("PC428") == 1
        assert server.stop() == 0


def test_bodies_are_kept_in_memory_if_the_directory_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with temporary.temporary_file() as file:
        file.write(UPLOAD)
        file.seek(0)
        assert file.read() == UPLOAD
        assert "memfd" in os.readlink(f"/proc/self/fd/{file.fileno()}")


def test_a_full_disk_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(OSError, match="No space"):
        temporary.temporary_file()


@pytest.mark.parametrize(("path", "first"), [("", []), ("a:b", ["a", "b"]), (":a", ["", "a"]), ("a:a", ["a"])])
def test_pythonpath_is_inserted_where_python_puts_it(
    path: str, first: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an interpreter that starts with it, after the folder of the script."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["/script", "/lib"])
    monkeypatch.setattr(os, "environ", {})
    set_variables({"PYTHONPATH": path})
    assert sys.path == ["/script", *(str(tmp_path / each) if each else str(tmp_path) for each in first), "/lib"]
    (tmp_path / "script.py").write_text("import sys\nprint(*sys.path, sep='\\n')\n")
    environment = {"PYTHONPATH": path, "PATH": os.environ.get("PATH", "")}
    words = [sys.executable, "script.py"]
    done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=20)
    own = done.stdout.splitlines()
    assert own[1 : 1 + len(first)] == [str(tmp_path / each) if each else str(tmp_path) for each in first]


def test_variables_that_are_set_too_late_are_reported(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(
        'app: demo\nenvironment: {PYTHONHASHSEED: "0", LD_PRELOAD: a.so, TMPDIR: /none, SHOP: a, PYTHONPATH: b}\n'
    )
    done = poolctl("validate", "--format", "concise", str(file), cwd=tmp_path)
    told = [line for line in done.stdout.splitlines() if "PC427" in line or "PC428" in line]
    assert done.returncode == 0, done
    assert [line.count(name) for line, name in zip(told, ("PYTHONHASHSEED", "LD_PRELOAD", "TMPDIR"), strict=True)]
    assert "PYTHONHASHSEED" in told[0]
    assert "before `poolctl run`" in told[0]
    assert "/none (TMPDIR)" in told[2]
    assert set_too_late(["PYTHONPATH", "TZ", "TMPDIR", "LANG", "PATH"]) == []
