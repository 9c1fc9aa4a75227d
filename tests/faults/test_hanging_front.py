"""A strategy that never comes back: its front is ended, and the next generation serves."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client, get
from harness.machine import PATIENCE, within
from harness.server import Serve, Server, wait_until

STRATEGY = """
from poolctl.plugin import Dispatch
from poolctl.supervision import mold

mold.HUNG_SECONDS = 0.8  # the test has no five seconds


class Hangs(Dispatch):
    @property
    def inspects(self):
        return True

    def pick(self, task, inboxes):
        while task.path == "/hang":
            weigh(inboxes)
        return min(inboxes, key=lambda inbox: inbox.load)


def weigh(inboxes):
    return [inbox.load for inbox in inboxes]
"""


def serve_hanging(serve: Serve, folder: Path, pool: Any) -> Server:
    (folder / "hangs.py").write_text(STRATEGY)
    topology = {"app": "demo", "pool": pool, "ownership": "half-sync/half-reactive", "dispatch": "./hangs.py:Hangs"}
    return serve(topology | {"affinity": "request"})


def test_a_front_that_hangs_is_replaced_and_what_workers_have_in_flight_is_answered(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve_hanging(serve, tmp_path, {"kind": "process", "size": 2})
    front = server.pids("front")
    with Client(server.port) as slow, Client(server.port) as poison, Client(server.port, timeout=PATIENCE) as late:
        slow.ask("/sleep?seconds=4")
        server.wait_until_busy()
        poison.ask("/hang")
        hung = time.monotonic()
        late.ask("/pid")  # it waits at the front that hangs, and is lost with it
        server.wait_for_log("starting the next generation")
        assert 0.7 < time.monotonic() - hung < within(3)
        server.wait_for_log("generation 2 of")
        assert get(server.port, "/pid").status == 200
        assert slow.answer().status == 200
        assert poison.at_end()
    assert server.log.count("generation 2 of") == 1
    assert "s in plugin code; killed" in server.log
    assert 'hangs.py", line' in server.log  # where
    wait_until(lambda: server.pids("front") not in (front, []), "its own front")
    wait_until(lambda: len(server.pids("mold")) == 1, "the end of the first generation")
    assert server.stop() == 0


def test_threads_leave_with_their_front(serve: Serve, tmp_path: Path) -> None:
    server = serve_hanging(serve, tmp_path, {"kind": "thread", "size": 2})
    with Client(server.port) as poison:
        poison.ask("/hang")
        server.wait_for_log("generation 2 of")
    assert get(server.port, "/pid").status == 200
    assert server.stop() == 0


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_stop_ends_a_generation_that_retires(serve: Serve, tmp_path: Path, when: str) -> None:
    server = serve_hanging(serve, tmp_path, {"kind": "process", "size": 2})
    with Client(server.port) as slow, Client(server.port) as poison:
        slow.ask("/sleep?seconds=2")
        server.wait_until_busy()
        poison.ask("/hang")
        server.wait_for_log("starting the next generation" if when == "before" else "generation 2 of")
        server.signal()
        assert slow.answer().status == 200
    assert server.wait() in (0, 1)


def hanging(folder: Path, method: str, arguments: str, hung: float = 0.3) -> dict[str, Any]:
    (folder / "hangs.py").write_text(
        f"""
import pathlib, time
from poolctl.plugin import Dispatch
from poolctl.supervision import mold

mold.HUNG_SECONDS = {hung}


class Hangs(Dispatch):
    def pick(self, task, inboxes):
        return inboxes[0]

    def {method}(self, {arguments}):
        pathlib.Path(__file__).with_name("hangs").touch()
        time.sleep(1000)
"""
    )
    return {"app": "demo", "pool": {"kind": "process", "size": 2}, "dispatch": "./hangs.py:Hangs"}


def test_one_whose_fronts_hang_before_they_serve_is_given_up(tmp_path: Path) -> None:
    with Server(hanging(tmp_path, "joined", "inbox"), tmp_path) as server:
        assert server.wait() == 3
        assert server.log.count("starting the next generation") == 4
        assert "5 generations ended before anything was ready" in server.log


def test_one_whose_every_front_hangs_comes_back_slower_and_slower(serve: Serve, tmp_path: Path) -> None:
    server = serve(hanging(tmp_path, "pick", "task, inboxes"))
    for number in range(1, 5):
        server.wait_for_log(f"generation {number} of")
        with Client(server.port) as client:
            client.ask("/pid")
            server.wait_for_log("starting the next generation", number)
    assert "starting the next generation in 0.2 s" in server.log
    server.stop()


def test_a_stop_does_not_wait_for_a_front_that_hangs(serve: Serve, tmp_path: Path) -> None:
    server = serve(hanging(tmp_path, "pick", "task, inboxes"))
    with Client(server.port) as client:
        client.ask("/pid")
        wait_until((tmp_path / "hangs").exists, "a front in the code of its plugin")
        began = time.monotonic()
        server.signal()
        assert server.wait() == 1
    assert time.monotonic() - began < within(5)  # the drain has 30 s
    assert "s in plugin code; killed" in server.log
