"""The start of an asynchronous app: readiness is told after it, and one that cannot work ends ``run`` with 3."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from harness.awaited import MODELS, topology
from harness.client import get
from harness.forms import half, short
from harness.launcher import LaunchedServer
from harness.server import Serve

FAILS = {
    "says so": ("await send({'type': 'lifespan.startup.failed', 'message': 'no database'})", "to start: no database"),
    "raises": ("raise RuntimeError('no database')", "RuntimeError: no database"),
    "panics": ("raise BaseException('no database')", "to start: it raised BaseException('no database')"),
    "is cancelled": ("raise __import__('asyncio').CancelledError('no database')", "CancelledError('no database')"),
    "exits": ("raise SystemExit('no database')", "SystemExit('no database')"),
    "returns": ("return", "it returned from its lifespan before startup.complete"),
}
SLOW = """
import asyncio, sqlite3, sys


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await asyncio.sleep(0.7)
        scope["state"]["base"] = sqlite3.connect(":memory:")  # which no other thread may use
        sys.stderr.write("the app has started\\n")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        scope["state"]["base"].close()
        await send({"type": "lifespan.shutdown.complete"})
    else:
        (found,) = scope["state"]["base"].execute("select 42").fetchone()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"%d" % found})
"""


# Half of the models with one way to fail, and every way in a process that owns its connections and one that does not.
TOLD = {*product(half(MODELS, 1), ["raises"]), *product(("reuse-port", "reactive-threads"), FAILS)}


@pytest.mark.parametrize(("model", "how"), short(product(MODELS, FAILS), TOLD))
def test_a_first_start_that_cannot_work_ends_run(model: str, how: str, tmp_path: Path) -> None:
    code, says = FAILS[how]
    (tmp_path / "failing.py").write_text(f"async def app(scope, receive, send):\n    await receive()\n    {code}\n")
    chosen = topology(model, "failing:app", lifespan="on")
    with LaunchedServer(chosen, tmp_path, path=tmp_path, tracebacks=True) as server:
        assert server.wait() == 3
        assert says in server.log
        assert "serves on" not in server.log


@pytest.mark.parametrize("model", short(MODELS, half(MODELS)))
def test_readiness_is_told_after_the_start(model: str, serve: Serve, tmp_path: Path) -> None:
    """Of each worker, in the thread that will serve."""
    (tmp_path / "slow_start.py").write_text(SLOW)
    chosen = topology(model, "slow_start:app")
    chosen["pool"] = {**chosen["pool"], "size": 2}
    server = serve(chosen, path=tmp_path)
    assert server.log.index("serves on") > server.log.rindex("the app has started")
    assert server.log.count("the app has started") == 2
    for _ in range(4):
        assert get(server.port).body == b"42"
    assert server.stop() == 0
