"""Paths in a file are relative to its folder, wherever poolctl is started."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from harness.client import get
from harness.commands import poolctl
from harness.server import Server

from poolctl.config.load import load

APP = 'def app(environ, start_response):\n    start_response("200 OK", [])\n    return [b"%s"]\n'


def resolved(*files: str, sets: tuple[str, ...] = ()) -> dict[str, Any]:
    """The values of paths in the topology of these files."""
    topology = load(files[0], sets, (), files[1:]).topology
    (address,) = topology.listen
    tls = address.tls
    assert topology.access_log
    assert tls
    assert tls.clients
    return {
        "app": next(iter(topology.app.options.values())),
        "pid_file": topology.pid_file,
        "log": topology.access_log.to,
        "tls": (tls.certificate, tls.key, tls.password_file, tls.clients.authority, tls.names["a.b"].certificate),
        "directory": topology.directory,
    }


SHOP = """
app: %s
pid_file: run/shop.pid
access_log: {to: ./shop.log}
listen:
  - at: tcp://127.0.0.1:8443
    tls:
      certificate: a.pem
      key: a.key
      password_file: word
      clients: {authority: ca.pem}
      names: {a.b: {certificate: b.pem}}
"""
APPS = ("{static: ./public}", "{use: static, folder: public}", "{cgi: public}", "{use: cgi, program: public}")


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("start", ["elsewhere", "here"])
def test_all_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, app: str, start: str) -> None:
    srv, other = tmp_path / "srv", tmp_path / "other"
    srv.mkdir()
    other.mkdir()
    (srv / "shop.yaml").write_text(SHOP % app)
    monkeypatch.chdir(other if start == "elsewhere" else srv)
    for name in {str(srv / "shop.yaml"), os.path.relpath(srv / "shop.yaml")}:
        found = resolved(name)
        if start == "here":  # nothing changes, so messages say what was written
            public = "./public" if "./" in app else "public"
            tls = ("a.pem", "a.key", "word", "ca.pem", "b.pem")
            assert found == {
                "app": public,
                "pid_file": "run/shop.pid",
                "log": "./shop.log",
                "tls": tls,
                "directory": "",
            }
            continue
        assert found.pop("tls") == tuple(f"{srv}/{each}" for each in ("a.pem", "a.key", "word", "ca.pem", "b.pem"))
        expected = {"app": f"{srv}/public", "pid_file": f"{srv}/run/shop.pid", "log": f"{srv}/shop.log"}
        assert found == {**expected, "directory": ""}


def test_paths_of_overlays_and_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    srv, etc, here = (tmp_path / name for name in ("srv", "etc", "here"))
    for each in (srv, etc, here):
        each.mkdir()
    (srv / "shop.yaml").write_text(SHOP % "{static: public}")
    (etc / "live.yaml").write_text("pid_file: shop.pid\naccess_log: {to: stdout}\n")
    monkeypatch.chdir(here)
    found = resolved(str(srv / "shop.yaml"), "../etc/live.yaml", sets=("app.static=public",))
    assert (found["app"], found["pid_file"], found["log"]) == ("public", f"{etc}/shop.pid", "stdout")


def test_with_a_directory_other_paths_are_relative_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv" / "shop.yaml").write_text("directory: site\n" + SHOP % "{static: public}")
    monkeypatch.chdir(tmp_path)
    found = resolved("srv/shop.yaml")
    assert (found["directory"], found["app"], found["pid_file"]) == (f"{tmp_path}/srv/site", "public", "run/shop.pid")


def test_an_alias_elsewhere_keeps_its_text(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("app: {static: &a shop}\nname: *a\nenvironment: {A: *a}\n")
    topology = load(str(tmp_path / "t.yaml")).topology
    assert (topology.name, topology.environment) == ("shop", {"A": "shop"})
    assert topology.app.options["folder"] == f"{tmp_path}/shop"


@pytest.mark.parametrize("preload", [False, True])
def test_modules_are_searched_in_the_folder_of_the_file_first(tmp_path: Path, preload: bool) -> None:
    """Then in the working directory, which does not change."""
    for name in ("srv", "here"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "placed_app.py").write_text(APP % name)
    (tmp_path / "here" / "only_here.py").write_text(APP % "only here")
    file = tmp_path / "srv" / "shop.yaml"
    file.write_text(f"app: {{wsgi: placed_app:app}}\npool: {{size: 1}}\npreload: {str(preload).lower()}\n")
    with Server(file, tmp_path / "here") as server:
        assert get(server.port).body == b"srv"
        assert os.readlink(f"/proc/{server.pids('worker')[0]}/cwd") == str(tmp_path / "here")
    with Server(file, tmp_path / "here", sets=("app.wsgi=only_here:app",)) as server:
        assert get(server.port).body == b"only here"


def test_static_files_from_the_root(tmp_path: Path) -> None:
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "a.txt").write_text("found")
    file = tmp_path / "shop.yaml"
    file.write_text("app: {static: public}\npool: {size: 1}\npid_file: shop.pid\naccess_log: {to: shop.log}\n")
    with Server(file, Path("/")) as server:
        assert get(server.port, "/a.txt").body == b"found"
        assert (tmp_path / "shop.pid").read_text().strip() == str(server.pid)
        assert server.stop() == 0
    assert "/a.txt" in (tmp_path / "shop.log").read_text()


def test_a_missing_module_is_reported_with_the_folders(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text("app: {wsgi: nowhere_at_all:app}\n")
    done = poolctl("validate", "--format", "json", str(tmp_path / "shop.yaml"), cwd=Path("/"))
    (finding,) = [each for each in json.loads(done.stdout)["diagnostics"] if each["code"] == "PC410"]
    assert f"no module of that name in {tmp_path}, / or the environment" in finding["summary"]
