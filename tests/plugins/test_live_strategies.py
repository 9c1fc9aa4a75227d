"""The strategies in plugins/ in live servers, with real processes, connections and deaths."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client, clients
from harness.machine import within
from harness.server import ROOT, Serve, Server, wait_until

PLUGINS = ROOT / "plugins"
APP = """
import os, pathlib, time

HERE = pathlib.Path(__file__).parent


def application(environ, start_response):
    if (HERE / f"slow-{os.getpid()}").exists():
        time.sleep(0.1)
    start_response("200 OK", [("Content-Length", "2"), ("X-Process", str(os.getpid()))])
    return [b"ok"]
"""


def use(plugin: str, word: str, **options: Any) -> dict[str, Any]:
    return {"use": f"{PLUGINS / plugin / ('poolctl_' + plugin.replace('-', '_'))}.py:{word}", **options}


def serve_strategy_of(serve: Serve, folder: Path, dispatch: Any, size: int = 4, **more: Any) -> Server:
    (folder / "app.py").write_text(APP)
    topology = {"app": {"wsgi": "app:application"}, "pool": {"kind": "process", "size": size}, "dispatch": dispatch}
    topology |= {"ownership": "half-sync/half-reactive", "affinity": "request", **more}
    return serve(topology, path=folder)


def ask(client: Client, path: str = "/", *lines: str) -> int:
    """Return the pid of the process that answered."""
    head = "".join(f"{line}\r\n" for line in (f"GET {path} HTTP/1.1", "Host: x", *lines))
    client.send(f"{head}\r\n".encode())
    response = client.answer()
    assert response.status == 200
    return response.process


def test_shares_of_weighted_are_exact_over_a_period(serve: Serve, tmp_path: Path) -> None:
    server = serve_strategy_of(serve, tmp_path, use("weighted", "Weighted", weights=[5, 3, 1, 1]))
    with clients(server.port, 5) as some:
        counts = Counter(ask(some[number % 5]) for number in range(60))
    assert [counts[pid] for pid in server.pids("worker")] == [30, 18, 6, 6]
    assert server.stop() == 0


def test_each_tenant_of_shuffle_sharding_meets_few_workers(serve: Serve, tmp_path: Path) -> None:
    options = use("shuffle-sharding", "ShuffleSharding", by="header", name="X-Tenant")
    server = serve_strategy_of(serve, tmp_path, options, size=6)
    tenants = [f"tenant-{number}" for number in range(20)]
    with clients(server.port, 5) as some:
        met = {name: {ask(some[turn], "/", f"x-tenant: {name}") for turn in range(5)} for name in tenants}
    assert all(len(workers) <= 2 for workers in met.values())
    assert len(set().union(*met.values())) > 3
    assert len({frozenset(workers) for workers in met.values()}) > 3  # an idle pool takes the first of each shard
    assert server.stop() == 0


@pytest.mark.parametrize("by", ["header", "path"])
def test_few_keys_of_consistent_hash_move_when_a_worker_leaves(serve: Serve, tmp_path: Path, by: str) -> None:
    options = {"by": "header", "name": "X-Session"} if by == "header" else {"by": "path"}
    gate = "while here.exists() and not here.with_name('go').exists():\n    time.sleep(0.01)\n"
    server = serve_strategy_of(serve, tmp_path, use("consistent-hash", "ConsistentHash", **options), size=4)
    (tmp_path / "app.py").write_text(f"{APP}\nhere = HERE / 'here'\n{gate}")  # what successors import
    keys = [f"key-{number}" for number in range(200)]

    def owners(client: Client) -> list[int]:
        return [ask(client, f"/{key}") if by == "path" else ask(client, "/", f"x-session: {key}") for key in keys]

    with Client(server.port) as client:
        before = owners(client)
        assert owners(client) == before
        assert min(Counter(before).values()) > 20
        (tmp_path / "here").touch()  # the successor takes its time
        victim = before[0]
        os.kill(victim, signal.SIGKILL)
        server.wait_for_log("restarting")
    with Client(server.port) as client:
        after = owners(client)
    moved = sum(one != other for one, other in zip(before, after, strict=True))
    assert moved == before.count(victim)  # nobody else's
    assert moved <= (1 + 0.5) / 4 * len(keys)
    (tmp_path / "go").touch()
    assert server.stop() == 0


@pytest.mark.parametrize(("name", "word"), [("ewma-latency", "EwmaLatency"), ("least-time", "LeastTime")])
def test_a_worker_made_slow_is_avoided_within_a_second(serve: Serve, tmp_path: Path, name: str, word: str) -> None:
    server = serve_strategy_of(serve, tmp_path, use(name, word))
    with clients(server.port, 6) as some:

        def shares(seconds: float) -> Counter[int]:
            counts: Counter[int] = Counter()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                for client in some:
                    client.ask()
                counts.update(client.answer().process for client in some)
            return counts

        before = shares(0.3)
        assert set(before) == set(server.pids("worker"))
        slow = max(before, key=before.__getitem__)
        (tmp_path / f"slow-{slow}").touch()
        shares(1.0)
        after = shares(0.5)
        assert after[slow] < 0.05 * after.total()
    assert server.stop() == 0


def test_a_visitor_of_sticky_cookie_stays(serve: Serve, tmp_path: Path) -> None:
    server = serve_strategy_of(serve, tmp_path, use("sticky-cookie", "StickyCookie", name="sid"), size=3)
    owners: dict[str, set[int]] = {}
    for turn in range(60):
        with Client(server.port) as client:
            owners.setdefault(f"v{turn % 12}", set()).add(ask(client, "/", f"Cookie: sid=v{turn % 12}"))
    assert {len(pids) for pids in owners.values()} == {1}
    assert len(set.union(*owners.values())) == 3
    assert server.stop() == 0


def test_locality_knows_the_cpu(serve: Serve, tmp_path: Path) -> None:
    server = serve_strategy_of(serve, tmp_path, use("locality", "Locality", slack=100), size=2)
    with Client(server.port) as client:
        before = os.sched_getaffinity(0)
        try:
            for cpu in sorted(before)[:2]:
                os.sched_setaffinity(0, {cpu})  # packets on loopback are handled where they are sent
                home = server.pids("worker")[cpu % (os.cpu_count() or 1) % 2]
                wait_until(lambda home=home: ask(client) == home, f"the worker at home on CPU {cpu}")  # type: ignore[misc]
                assert Counter(ask(client) for _ in range(20))[home] > 15
        finally:
            os.sched_setaffinity(0, before)
    assert server.stop() == 0


PACKAGES = sorted(each.parent.name for each in PLUGINS.glob("*/pyproject.toml"))


@pytest.mark.parametrize("names", [["weighted"], pytest.param(PACKAGES, marks=pytest.mark.slow)], ids=["one", "all"])
def test_they_are_installed_by_their_entry_points(serve: Serve, tmp_path: Path, names: list[str]) -> None:
    site, copies = tmp_path / "site", tmp_path / "copies"
    folders = []
    for folder in (PLUGINS / name for name in names):
        copy = copies / folder.name
        copy.mkdir(parents=True)
        for file in folder.iterdir():  # building leaves files beside what is built
            if file.is_file():
                (copy / file.name).write_bytes(file.read_bytes())
        folders.append(str(copy))
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(site), *folders],
        check=True,
        timeout=within(50),
    )
    topology = {"app": "demo", "pool": {"kind": "process", "size": 3}, "ownership": "half-sync/half-reactive"}
    topology |= {"dispatch": {"use": "weighted", "weights": [2, 1, 1]}, "affinity": "request"}
    server = serve(topology, path=site)
    with Client(server.port) as client:
        counts = Counter(client.get("/pid").process for _ in range(12))
    assert sorted(counts.values()) == [3, 3, 6]
    assert "dispatch weighted" in server.log
    assert server.stop() == 0
