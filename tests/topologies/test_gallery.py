"""Every file of topologies/ runs as it stands, serves, and stops."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from harness.client import Client, clients, get
from harness.server import ROOT, Serve

FOLDER = ROOT / "topologies"
FILES = sorted(FOLDER.glob("*.yaml"))
DESIGNS = [
    "unp-0-iterative",
    "unp-1-process-per-connection",
    "unp-2-prefork-accept",
    "unp-3-prefork-file-lock",
    "unp-5-prefork-descriptor-passing",
    "unp-6-thread-per-connection",
    "unp-7-prethread-mutex",
    "unp-8-prethread-main-accepts",
    "half-sync-half-reactive-processes",
    "half-sync-half-reactive-threads",
    "half-sync-half-async-accept-front",
    "half-sync-half-async-accept-worker",
    "leader-followers-processes",
    "leader-followers-threads",
    "reuse-port-kernel-hash",
    "reuse-port-random",
    "reuse-port-client",
    "reuse-port-cpu",
    "apache-prefork",
    "apache-worker",
    "nginx",
    "gunicorn-sync",
    "gunicorn-gthread",
    "puma-cluster",
]

OTHERS = ["frames"]  # that do not speak HTTP


def comment(file: Path) -> str:
    """The lines before the first key, without their marks."""
    lines = file.read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    assert lines[first] == ""
    assert lines[2] == "#"  # above it the lines for editors
    return "\n".join(line.removeprefix("#").strip() for line in lines[3:first])


@pytest.mark.parametrize("file", [file for file in FILES if file.stem not in OTHERS], ids=lambda file: file.stem)
def test_a_file_runs_serves_and_stops(file: Path, serve: Serve) -> None:
    server = serve(file)
    with Client(server.port) as client:
        first = [client.get() for _ in range(4)]
    assert [each.status for each in first] == [200] * 4
    assert [get(server.port).status for _ in range(3)] == [200] * 3
    pool = yaml.safe_load(file.read_text()).get("pool", {})
    if pool != "iterative":
        with clients(server.port, 5) as several:
            for client in several:
                client.ask()
            assert [client.answer().status for client in several] == [200] * 5
    if isinstance(pool, dict) and pool.get("kind") == "process" and isinstance(pool["size"], int):
        assert len(server.pids("worker")) == pool["size"]
    assert server.stop() == 0


def test_frames_runs_serves_and_stops(serve: Serve) -> None:
    server = serve(FOLDER / "frames.yaml")
    with Client(server.port) as client:
        client.send(b"\0\0\0\x06hello\n")
        assert client.line() == b"\0\0\0\x06hello\n"
    assert server.stop() == 0


@pytest.mark.parametrize("name", DESIGNS)
def test_a_design_says_what_it_is_when_to_choose_it_and_where_it_comes_from(name: str) -> None:
    text = comment(FOLDER / f"{name}.yaml")
    what, *parts = re.split(r"\n(?=Choose it |From |Differs |As near as the axes get: )", text)
    assert len(what) > 20
    assert [part.split()[0] for part in parts] in (["Choose", "From", "Differs"], ["Choose", "From", "As"])
    assert all(part.endswith(".") for part in (what, *parts))


@pytest.mark.parametrize("name", DESIGNS)
def test_a_design_needs_nothing_else_and_leaves_no_axis_open(name: str) -> None:
    found = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    assert (found["app"], found["listen"]) == ("demo", "tcp://127.0.0.1:8000")
    if isinstance(found["pool"], dict):
        assert {"ownership", "dispatch", "affinity"} <= set(found)
        assert {"kind", "size"} <= set(found["pool"])


def test_the_gallery_is_complete_and_the_table_names_every_file() -> None:
    names = {file.name for file in FILES}
    assert names == {f"{name}.yaml" for name in [*DESIGNS, *OTHERS, "quickstart", "full", "static", "sessions"]}
    rows = re.findall(r"^\| \[(.+?)\]\((.+?)\) \| (.+?) \| (.+?) \|$", (FOLDER / "README.md").read_text(), re.M)
    assert sorted(row[0] for row in rows) == sorted(names)
    assert all(shown == linked for shown, linked, _, _ in rows)
    for name, _, _, what in rows:
        if name.removesuffix(".yaml") in DESIGNS:
            assert " ".join(comment(FOLDER / name).split()).startswith(what)
