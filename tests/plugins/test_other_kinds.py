"""Plugins for other axes in live servers, with real clients."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from harness.client import Client
from harness.machine import PATIENCE
from harness.server import ROOT, Serve, Server

RESP, JSONRPC, PINNED = (ROOT / "plugins" / name / f"poolctl_{name}.py" for name in ("resp", "jsonrpc", "pinned"))
CACHE = """
import os
from poolctl_resp import Error

VALUES = {}


def command(word, *words):
    word = word.upper()
    if word == b"PING":
        return "PONG"
    if word == b"SET":
        VALUES[words[0]] = words[1]
        return "OK"
    if word == b"GET":
        return VALUES.get(words[0])
    if word == b"PID":
        return os.getpid()
    if word in (b"CLIENT", b"HELLO", b"COMMAND", b"QUIT"):
        return Error("ERR unknown command") if word == b"HELLO" else "OK"
    raise Error(f"ERR unknown command {word.decode('latin-1')}")
"""
RPC = """
def add(a, b):
    return a + b
"""


def cache(serve: Serve, folder: Path, ownership: str, **more: Any) -> Server:
    (folder / "cache.py").write_text(CACHE)
    topology = {"app": {"use": f"{RESP}:RespApp", "target": "cache:command"}, "protocol": f"{RESP}:Resp"}
    return serve(topology | {"ownership": ownership, **more}, path=folder)


@pytest.mark.parametrize(
    "ownership", ["half-sync/half-reactive", "half-sync/half-async", "leader/followers", "reuse-port"]
)
def test_redis_py_and_redis_cli_can_use_resp(serve: Serve, tmp_path: Path, ownership: str) -> None:
    server = cache(serve, tmp_path, ownership, pool={"kind": "process", "size": 1})
    client = redis.Redis(port=server.port, protocol=2)
    assert client.ping()
    assert client.set("a", b"x" * 100_000)
    assert client.get("a") == b"x" * 100_000
    assert client.get("b") is None
    with pytest.raises(redis.ResponseError, match="unknown command NOSUCH"):
        client.execute_command("NOSUCH")
    pipeline = client.pipeline(transaction=False)
    for number in range(50):
        pipeline.set(f"k{number}", number)
    pipeline.get("k49")
    assert pipeline.execute()[-1] == b"49"
    client.close()
    program = shutil.which("redis-cli")
    if program:
        command = [program, "-p", str(server.port), "GET", "k7"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.stdout == "7\n"
    assert server.stop() == 0


def test_commands_of_a_connection_are_lent_one_by_one(serve: Serve, tmp_path: Path) -> None:
    pool = {"kind": "process", "size": 3}
    server = cache(serve, tmp_path, "half-sync/half-reactive", pool=pool, dispatch="round-robin", affinity="request")
    client = redis.Redis(port=server.port, protocol=2, single_connection_client=True)
    assert {client.execute_command("PID") for _ in range(6)} == set(server.pids("worker"))
    client.close()
    assert server.stop() == 0


def test_an_app_names_its_protocol(serve: Serve, tmp_path: Path) -> None:
    """As if installed: the protocol is found by the name that the app gives."""
    (tmp_path / "cache.py").write_text(CACHE)
    there = tmp_path / "poolctl_resp-0.1.0.dist-info"
    there.mkdir()
    (there / "METADATA").write_text("Metadata-Version: 2.1\nName: poolctl-resp\nVersion: 0.1.0\n")
    entries = "[poolctl.protocol]\nresp = poolctl_resp:Resp\n[poolctl.app]\nresp = poolctl_resp:RespApp\n"
    (there / "entry_points.txt").write_text(entries)
    (tmp_path / "poolctl_resp.py").write_bytes(RESP.read_bytes())
    topology = {"app": {"use": "resp", "target": "cache:command"}}
    server = serve(topology, path=tmp_path)
    client = redis.Redis(port=server.port, protocol=2)
    assert client.ping()
    client.close()
    assert "app resp, protocol resp" in server.log
    assert server.stop() == 0


@pytest.mark.parametrize("ownership", ["half-sync/half-reactive", "leader/followers"])
def test_json_rpc_calls_functions(serve: Serve, tmp_path: Path, ownership: str) -> None:
    (tmp_path / "rpc.py").write_text(RPC)
    topology = {"app": {"use": f"{JSONRPC}:JsonRpc", "functions": ["rpc:add"]}, "ownership": ownership}
    server = serve(topology, path=tmp_path)
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        call = {"jsonrpc": "2.0", "method": "add", "params": [2, 3], "id": 1}
        assert client.post("/", json=call).json() == {"jsonrpc": "2.0", "result": 5, "id": 1}
        assert client.post("/", json={"jsonrpc": "2.0", "method": "add", "params": {"a": 1, "b": 2}}).status_code == 204
        assert client.get("/").status_code == 405
    assert server.stop() == 0


@pytest.mark.parametrize("ownership", ["half-sync/half-reactive", "half-sync/half-async", "reuse-port"])
def test_each_worker_of_pinned_is_bound_to_a_cpu(serve: Serve, ownership: str) -> None:
    server = serve({"app": "demo", "pool": {"kind": f"{PINNED}:Pinned", "size": 3}, "ownership": ownership})
    cpus = sorted(os.sched_getaffinity(0))
    workers = server.pids("worker")
    assert [os.sched_getaffinity(pid) for pid in workers] == [{cpus[number % len(cpus)]} for number in range(3)]
    with Client(server.port) as client:
        assert client.get("/pid").process in workers
    assert f"3 processes (pool {PINNED}:Pinned)" in server.log
    assert server.stop() == 0


OWNERSHIPS = {
    "HalfSyncHalfReactive": "half-sync/half-reactive",
    "HalfSyncHalfAsync": "half-sync/half-async",
    "LeaderFollowers": "leader/followers",
    "ReusePort": "reuse-port",
}
NOTED = """
from dataclasses import dataclass
from typing import Annotated, ClassVar

from poolctl.plugin import {base}, Life, Site
from pydantic import Field


@dataclass
class Noted({base}):
    interface: ClassVar[int] = 1
    like: ClassVar[str] = "{like}"

    to: Annotated[str, Field(min_length=1, description="the file in which workers are noted")] = ""

    def work(self, site: Site, worker: int, life: Life):
        with open(self.to, "a") as file:
            file.write(f"{{worker}}\\n")
        return super().work(site, worker, life)
"""


@pytest.mark.parametrize("pool", ["process", "thread"])
@pytest.mark.parametrize("base", OWNERSHIPS)
def test_an_ownership_from_a_file_serves_as_what_it_is_like(serve: Serve, tmp_path: Path, base: str, pool: str) -> None:
    (tmp_path / "noted.py").write_text(NOTED.format(base=base, like=OWNERSHIPS[base]))
    topology = {
        "app": "demo",
        "pool": {"kind": pool, "size": 2},
        "ownership": {"use": "./noted.py:Noted", "to": str(tmp_path / "noted")},
    }
    server = serve(topology, path=tmp_path)
    for _ in range(4):
        with Client(server.port) as client:
            assert [client.get().status for _ in range(3)] == [200] * 3
    gathered = (base, pool) == ("LeaderFollowers", "thread")  # the threads work as one: they share an event set
    assert sorted((tmp_path / "noted").read_text().split()) == (["0"] if gathered else ["0", "1"])
    assert ", ./noted.py:Noted" in server.log
    assert server.stop() == 0


WHOLE = """
import os
from dataclasses import dataclass
from typing import ClassVar

from poolctl.plugin import Life, Ownership, Process, Site


@dataclass
class Own(Ownership):
    interface: ClassVar[int] = 1
    like: ClassVar[str] = "half-sync/half-reactive"
    has_front: ClassVar[bool] = True
    lends: ClassVar[bool] = True

    def prepare(self):
        self.pipe = os.pipe()
        return set(self.pipe)

    def front(self, site: Site, life: Life):
        front = site.medium.lending_front(site, life)
        for listener in site.shared_listeners:
            front.welcome(listener)
        return front

    def work(self, site: Site, worker: int, life: Life):
        os.write(self.pipe[1], b"x")
        assert self.prepared == set(self.pipe)
        return [site.medium.task_executor(site, worker, thread, life).run for thread in range(site.threads)]

    def front_keeps(self, site: Site):
        return site.sockets()

    def work_keeps(self, site: Site, worker: int):
        return {site.inbox(worker).reader.fileno()} | site.returns.ends()[1] | self.prepared


@dataclass
class Kept(Process):
    interface: ClassVar[int] = 1
    like: ClassVar[str] = "process"

    def roles(self, site: Site, ownership):
        assert site.sockets().isdisjoint(ownership.prepared)
        assert (site.scoreboard, site.connections, site.affinity, site.multiprocess)
        return super().roles(site, ownership)
"""


def test_plugins_that_ask_the_site_for_its_medium_still_serve(serve: Serve, tmp_path: Path) -> None:
    """The form that interface 1 began with: the site has more attributes than ``Site`` names today."""
    (tmp_path / "whole.py").write_text(WHOLE)
    topology = {"app": "demo", "pool": {"kind": "./whole.py:Kept", "size": 2}, "ownership": "./whole.py:Own"}
    server = serve(topology, path=tmp_path)
    with Client(server.port) as client:
        assert [client.get().status for _ in range(3)] == [200] * 3
    assert server.stop() == 0
