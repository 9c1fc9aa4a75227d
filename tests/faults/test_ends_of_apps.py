"""What an app still does when its worker leaves comes to its end, as it would at the end of a Python program."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client, get
from harness.server import Serve

from faults.models import ALL

ENDED = {"atexit", "buffered", "thread", "job", "process"}


def serve_ending(serve: Serve, name: str, app: dict[str, str], ledger: Path, **more: Any) -> Any:
    if name in ALL:
        topology = {**ALL[name].topology(1 if "threads" not in name else 2), "app": app}
    else:
        topology = {"app": app, "pool": {"kind": name}}
    work = more.pop("work", "0.5")
    return serve({**topology, **more}, environment={"LEDGER": str(ledger), "WORK": work})


@pytest.mark.parametrize("app", ["wsgi", "asgi"])
@pytest.mark.parametrize(
    "name",
    [
        "hshr-processes", "hshr-threads", "hsha-front-processes", "lf-threads", "reuse-port", "iterative",
        "process-per-connection",
    ],
)  # fmt: skip
def test_threads_jobs_children_and_exit_functions_finish_within_the_drain(
    serve: Serve, tmp_path: Path, name: str, app: str
) -> None:
    if app == "asgi" and name not in ("hshr-processes", "hsha-front-processes", "reuse-port"):
        pytest.skip("the end of a role is the same, and applications that are awaited have one thread")
    ledger = tmp_path / "ledger"
    server = serve_ending(serve, name, {app: f"ending:{'application' if app == 'wsgi' else 'asgi'}"}, ledger)
    folder = get(server.port).body.decode()
    assert os.path.isdir(folder)
    assert server.stop() == 0
    assert set(ledger.read_text().split()) == ENDED
    assert not os.path.exists(folder)


@pytest.mark.parametrize("name", ["hshr-processes", "lf-threads"])
def test_what_takes_longer_than_the_drain_is_left_and_said(serve: Serve, tmp_path: Path, name: str) -> None:
    server = serve_ending(
        serve, name, {"wsgi": "ending:application"}, tmp_path / "ledger", timeouts={"drain": 1}, work="600"
    )
    get(server.port)
    assert server.stop() == 1
    assert "unfinished" in server.log


PRELOADED = """
import atexit, os, tempfile
folder = tempfile.TemporaryDirectory(prefix="preloaded-")
with open(os.environ["LEDGER"], "a") as file:
    file.write(folder.name + "\\n")
@atexit.register
def over():
    with open(os.environ["LEDGER"], "a") as file:
        file.write("over\\n")
def application(environ, start_response):
    if environ["PATH_INFO"] == "/die":
        os._exit(9)
    body = b"%d" % os.path.isdir(folder.name)
    start_response("200 OK", [("Content-Length", "1")])
    return [body]
"""


def test_what_a_preloaded_app_registered_runs_once_in_the_mold(serve: Serve, tmp_path: Path) -> None:
    """Not in each worker: the first that left would take the others' folder away."""
    (tmp_path / "preloaded.py").write_text(PRELOADED)
    ledger = tmp_path / "ledger"
    model = ALL["hshr-processes"]
    server = serve(
        {**model.topology(2, preload=True), "app": {"wsgi": "preloaded"}},
        path=tmp_path,
        environment={"LEDGER": str(ledger)},
    )
    with Client(server.port) as client:
        assert client.get("/die").status == 502
    assert get(server.port).body == b"1"
    assert server.stop() == 0
    folder, *notes = ledger.read_text().split()
    assert notes == ["over"]
    assert not os.path.exists(folder)
