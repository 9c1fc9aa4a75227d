"""Which files a server in development watches."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

import pytest

from poolctl.assembly.judging.judge import judge
from poolctl.cli.review import Given
from poolctl.config.sources import Inputs

TOPOLOGY = """
app: {wsgi: "shop:app"}
listen:
  at: tcp://127.0.0.1:0
  tls: {certificate: cert.pem, key: key.pem, names: {a.example: {certificate: a.pem, key: a.key}}}
access_log: {format: common, to: access.log}
pid_file: shop.pid
dispatch: ./mine.py:Mine
"""
PLUGIN = """
from dataclasses import dataclass
from poolctl.plugin import Dispatch
@dataclass
class Mine(Dispatch):
    def pick(self, task, inboxes):
        return inboxes[0]
"""


def given(folder: Path, text: str, **more: str) -> Given:
    (folder / "shop.yaml").write_text(text)
    (folder / "over.yaml").write_text("timeouts: {idle: 7s}\n")
    (folder / "mine.py").write_text(PLUGIN)
    inputs = Inputs(str(folder / "shop.yaml"), (str(folder / "over.yaml"),))
    return Given(inputs, judge(inputs), os.getcwd())


def test_what_the_server_has_read_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", str(tmp_path / "lib"), sysconfig.get_path("purelib")]))
    found = given(tmp_path, TOPOLOGY).watched
    names = ["shop.yaml", "over.yaml", "cert.pem", "key.pem", "a.pem", "a.key", "mine.py"]
    assert set(found.files) == {str(tmp_path / name) for name in names}
    assert found.folders == (os.getcwd(), str(tmp_path), str(tmp_path / "lib"))


def test_the_directory_is_where_the_code_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    found = given(tmp_path, "app: {wsgi: shop:app}\ndirectory: code\nenvironment: {PYTHONPATH: /srv/lib}\n").watched
    assert found.folders == (str(tmp_path / "code"), "/srv/lib")


def test_a_topology_of_the_command_line_has_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    inputs = Inputs("<shop:app>", text="app: {wsgi: shop:app}\n")
    found = Given(inputs, judge(inputs), os.getcwd()).watched
    assert (found.files, found.folders) == ((), (os.getcwd(),))
