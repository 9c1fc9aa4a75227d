"""A wall clock that is set back and forth by hours while the server serves: only what people read shows it.

What poolctl decides by, the monotonic clock, is that of the system. The other one is read through the functions of
`time`, which a module on the path of every process shifts by what a file says.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client, get
from harness.load import Load
from harness.server import Serve, Server, ask, wait_until

from faults.models import ALL, models

HOUR = 3600
SHIFTS = (-5 * HOUR, 3 * HOUR, -24 * HOUR, 0, 48 * HOUR, -1)  # seconds
SHIFTED = """
import os, time

def shift():
    try:
        with open(os.environ["CLOCK"]) as file:
            return int(file.read() or 0)
    except FileNotFoundError:
        return 0

def shifted(name, unit):
    real = getattr(time, name)
    return lambda: real() + shift() * unit

class BrokenDown:  # no function: logging makes it an attribute of a class
    def __init__(self, name):
        self.real = getattr(time, name)

    def __call__(self, seconds=None):
        return self.real(time.time() if seconds is None else seconds)

time.time, time.time_ns = shifted("time", 1), shifted("time_ns", 1_000_000_000)
time.localtime, time.gmtime = BrokenDown("localtime"), BrokenDown("gmtime")
"""


class Clock:
    """The wall clock of a server."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "clock"
        (folder / "sitecustomize.py").write_text(SHIFTED)
        self.environment = {"CLOCK": str(self.file)}

    def set(self, shift: int) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(str(shift))
        new.rename(self.file)

    @contextlib.contextmanager
    def jumping(self) -> Iterator[None]:
        """It is set again and again, and is right afterwards."""
        over = threading.Event()

        def jump() -> None:
            for shift in cycle(SHIFTS):
                self.set(shift)
                if over.wait(0.1):
                    return

        thread = threading.Thread(target=jump)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self.set(0)


def ordered(server: Server, do: str, **arguments: Any) -> Any:
    last = ask(server.control_socket(), do, **arguments)[-1]
    assert last["exit"] == 0, (last, server.log)
    return last["result"]


def begin(serve: Serve, name: str, clock: Clock, **more: Any) -> Server:
    model = ALL[name]
    return serve(
        model.topology(2, **more), environment={**model.environment, **clock.environment}, path=clock.file.parent
    )


@models(always=("hshr-processes", "lf-threads"))
def test_nothing_ends_and_nothing_fails_when_the_clock_is_set(name: str, serve_typed: Serve, tmp_path: Path) -> None:
    clock, log = Clock(tmp_path), tmp_path / "access.log"
    limits = {"head": 5, "idle": 5, "body": 5, "request": 5, "write": 5}  # far less than an hour
    recycle = {"age": "30m"}
    server = begin(
        serve_typed, name, clock, timeouts=limits, recycle=recycle, access_log={"format": "json", "to": str(log)}
    )
    clock.set(-HOUR)
    wait_until(lambda: shown(server) < -HOUR / 2, "an event of the clock that was set")  # or it tests nothing
    tree = server.tree()
    with clock.jumping(), Load(server.port, idle=2) as load, Client(server.port) as slow:
        slow.ask("/sleep?seconds=1")
        load.goes_on(200)
        assert slow.answer().status == 200
        assert 0 <= server.status()["uptime_seconds"] < HOUR / 2
        assert server.tree() == tree
        for do in ("recycle", "reload"):
            ordered(server, do)
            load.goes_on()
    assert load.failures == []
    assert not re.search(r"killed|did not end|expired|recycle\.age", server.log), server.log
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(lines) >= load.answers
    assert all(0 <= line["duration"] < HOUR / 2 for line in lines)
    assert server.stop() == 0


def shown(server: Server) -> float:
    """By how many seconds the time of a new event differs from the real one."""
    ordered(server, "scale", to="2")
    events = ask(server.control_socket(), "events")
    return (datetime.fromisoformat(str(last_time(events))) - datetime.now(UTC)).total_seconds()


def last_time(answer: list[dict[str, Any]]) -> str:
    times = re.findall(r'"time": "([^"]+)"', json.dumps(answer))
    assert times, answer
    return times[-1]


@pytest.mark.parametrize("name", ["hshr-processes"])
def test_the_uptime_goes_on_over_an_upgrade(name: str, serve_typed: Serve, tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    server = begin(serve_typed, name, clock)
    before = server.status()["uptime_seconds"]
    clock.set(-5 * HOUR)
    ordered(server, "upgrade")
    assert before <= server.status()["uptime_seconds"] < HOUR
    assert server.stop() == 0


@pytest.mark.slow
def test_a_pool_grows_and_shrinks_with_the_load_alone(serve_typed: Serve, tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    pool = {"kind": "process", "size": {"min": 1, "max": 3}}
    server = serve_typed(
        {"app": "demo", "pool": pool, "scale": {"wait": "100ms", "idle": "1s"}},
        environment=clock.environment,
        path=tmp_path,
    )
    with clock.jumping():
        with contextlib.ExitStack() as stack:
            for _ in range(6):
                stack.enter_context(Client(server.port)).ask("/sleep?seconds=0.8")
            wait_until(lambda: server.status()["pool"]["ready"] == 3, "three workers")
        wait_until(lambda: server.status()["pool"]["size"] == 1, "one worker")
        assert get(server.port).status == 200
    assert server.stop() == 0
