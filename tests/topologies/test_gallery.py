"""Every file of the gallery is what it says, and serves."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.client import Client, clients, get
from harness.server import ROOT, Server

GALLERY = ROOT / "topologies"
FILES = sorted(GALLERY.glob("*.yaml"))
DESIGNS = """
    unp-0-iterative unp-1-process-per-client unp-2-prefork-no-lock unp-3-prefork-file-lock
    unp-5-prefork-descriptor-passing unp-6-thread-per-client unp-7-prethreaded-mutex unp-8-prethreaded-main-accepts
    half-sync-half-reactive-processes half-sync-half-reactive-threads half-sync-half-async-front
    half-sync-half-async-worker leader-followers-processes leader-followers-threads reuse-port-kernel-hash
    reuse-port-random reuse-port-client reuse-port-cpu apache-prefork apache-worker nginx gunicorn-sync gunicorn-gthread
    puma-cluster
""".split()
ALONE = {"unp-0-iterative"}  # serves one client at a time

Serve = Callable[..., Server]


def names(files: list[Path]) -> list[str]:
    return [file.stem for file in files]


def test_every_design_has_its_file_and_its_row() -> None:
    assert set(names(FILES)) == {*DESIGNS, "quickstart", "full"}
    table = (GALLERY / "README.md").read_text()
    assert set(re.findall(r"\]\((\S+)\.yaml\)", table)) == set(names(FILES))


@pytest.mark.parametrize("name", DESIGNS)
def test_a_file_says_what_when_and_where_from(name: str) -> None:
    comment = (GALLERY / f"{name}.yaml").read_text().split("\n\n")[0]
    assert all(line.startswith("#") for line in comment.splitlines())
    assert len(comment.splitlines()) >= 5
    assert "# When to choose it: " in comment
    assert "# Where it comes from: " in comment


@pytest.mark.parametrize("file", FILES, ids=names(FILES))
def test_it_serves_and_ends(file: Path, serve: Serve) -> None:
    server = serve(file)
    with Client(server.port) as kept:
        assert [len(kept.get(f"/bytes?count={count}").body) for count in (1, 3000)] == [1, 3000]
        assert kept.get("/chunks?count=3").status == 200
    assert {get(server.port).status for _ in range(3)} == {200}
    if file.stem not in ALONE:
        with clients(server.port, 12) as many:
            for client in many:
                client.ask("/")
            assert {client.answer().status for client in many} == {200}
    with socket.create_connection(("127.0.0.1", server.port)):
        assert server.stop() == 0
