"""The keys `pool.size: {min, max}`, `scale` and `recycle` in real servers under load."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from harness.client import get
from harness.commands import poolctl
from harness.gated import begin
from harness.load import Load
from harness.server import Serve, Server, wait_until

GROWING = ["half-sync/half-reactive", "half-sync/half-async", "leader/followers"]


def pool(server: Server) -> dict[str, Any]:
    return server.status()["pool"]


@pytest.mark.parametrize("ownership", GROWING)
def test_a_pool_grows_with_the_load_and_shrinks_after_it(serve: Serve, tmp_path: Path, ownership: str) -> None:
    keys = {"ownership": ownership, "pool": {"size": {"min": 2, "max": 6}}, "scale": {"idle": "1s"}}
    server = begin(serve, tmp_path, preload=True, **keys)
    gate = tmp_path / "gate"
    state = pool(server)
    assert (state["size"], state["most"], state["automatic"]) == (2, 6, True)
    clients = [threading.Thread(target=get, args=(server.port, f"/slow?{gate}")) for _ in range(5)]
    for client in clients:
        client.start()
    wait_until(lambda: pool(server)["size"] >= 4, "more workers")
    server.wait_for_log(r"2 -> \d workers: 2 requests in flight")
    gate.touch()
    for client in clients:
        client.join()
    wait_until(lambda: pool(server)["size"] == 2, "the least workers")
    server.wait_for_log("-> 2 workers: no more were needed for")
    events = poolctl("events", str(server.pid), "--format", "json", cwd=tmp_path).stdout
    assert '"pool-scaled"' in events
    done = poolctl("scale", str(server.pid), "5", cwd=tmp_path)
    assert (done.returncode, "2 -> 5 workers" in done.stdout) == (0, True), done.stderr
    assert pool(server)["automatic"] is False
    assert "5 workers of 2 to 6; that was chosen" in poolctl("status", str(server.pid), cwd=tmp_path).stdout
    assert poolctl("scale", str(server.pid), "auto", cwd=tmp_path).returncode == 0
    assert pool(server)["automatic"] is True
    assert server.stop() == 0


ALONE, THREADS = {"size": 1}, {"kind": "thread", "size": 2}
MORE = [(each, {"size": 2}) for each in GROWING[1:]]
MORE += [(each, pool) for pool in (ALONE, THREADS) for each in (*GROWING, "reuse-port")]


@pytest.mark.parametrize(
    ("ownership", "pool"),
    [
        (GROWING[0], {"size": 2}),
        ("reuse-port", {"size": 2}),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in MORE if each != ("reuse-port", THREADS)),
    ],
    ids=str,
)
def test_workers_are_recycled_under_load_and_no_request_fails(
    serve: Serve, tmp_path: Path, ownership: str, pool: dict[str, Any]
) -> None:
    server = begin(serve, tmp_path, ownership=ownership, pool=pool, recycle={"requests": 200, "least": 0})
    with Load(server.port) as load:
        wait_until(lambda: server.log.count("(recycle.requests)") >= 6, "three replacements")
    assert load.failures == []
    assert load.answers > 200
    assert server.stop() == 0
