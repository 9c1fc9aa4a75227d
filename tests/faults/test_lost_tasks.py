"""A worker that is killed between taking a task and writing down that it has it: its client is told all the same."""

from __future__ import annotations

import select
import time
from pathlib import Path

import pytest
from harness.client import Client, clients, get
from harness.machine import within
from harness.server import Serve, at_rest, wait_until

from faults.models import ALL, FEW, models

APP = """
import os, signal, pathlib
from poolctl.runtime.app import demo
from poolctl.runtime.channels.inbox import ProcessInbox

armed = pathlib.Path(__file__).with_name("armed")
take = ProcessInbox.take


def take_and_die(self, flags=0):
    taken = take(self, flags)
    if taken[0] and armed.exists():
        armed.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return taken


ProcessInbox.take = take_and_die
application = demo.application
"""
LENDING = [name for name, model in ALL.items() if model.processes and model.lends]
TOLD = 3.0  # seconds: the next generation of the worker, and three looks of the front


@pytest.mark.parametrize("dispatch", ["shared-queue", "least-loaded"])
@pytest.mark.parametrize("busy", [False, True], ids=["alone", "among-others"])
@models(LENDING, always=FEW)
def test_the_client_of_a_task_that_was_taken_by_a_dying_worker_gets_a_502(
    serve: Serve, tmp_path: Path, name: str, busy: bool, dispatch: str
) -> None:
    (tmp_path / "lethal.py").write_text(APP)
    model = ALL[name]
    server = serve(
        model.topology(2, app={"wsgi": "lethal:application"}, dispatch=dispatch),
        path=tmp_path,
        environment=model.environment,
    )
    workers = set(model.workers(server))
    with Client(server.port) as victim, clients(server.port, 4) as others:
        for client in others:
            assert client.get().status == 200
        # A worker that has answered and not yet said so takes the connection along when it dies.
        wait_until(lambda: all(map(at_rest, workers)), "workers that have nothing in hand")
        (tmp_path / "armed").touch()
        victim.ask()
        started = time.monotonic()
        wait_until(lambda: len(workers & set(model.workers(server))) == 1, "the death of a worker")
        while busy and not select.select([victim.sock], [], [], 0)[0]:
            for client in others:
                assert client.get().status == 200
        response = victim.answer()
        assert response.status == 502
        assert victim.at_end()
        assert time.monotonic() - started < within(TOLD)
        for client in others:
            assert client.get().status == 200
    now = {get(server.port, "/pid").process for _ in range(20)}
    if dispatch == "least-loaded":
        assert now == set(model.workers(server))  # nobody counts the lost one as a load for ever
    assert len(set(model.workers(server)) - workers) == 1
    assert server.stop() == 0
