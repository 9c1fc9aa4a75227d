"""Everything at once: workers that are killed while they are replaced, fronts that die among leaving workers, storms of
signals and commands. Afterwards the server is as it should be."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from harness.forms import short
from harness.load import Load
from harness.server import PATIENCE, Serve, Server, ask, wait_until

from faults.hammer import Hammer
from faults.test_workers_come_and_go import CHANGING, KINDS, begun

PROCESSES = [name for name in KINDS if not name.endswith("selectors")]
FRONTS = [name for name in PROCESSES if KINDS[name][0].front]
KILL_SECONDS = 0.2  # between two kills
KILLS = 10
FRONTS_KILLED = 5  # further ones would wait: those that die young are restarted with growing delays


@contextlib.contextmanager
def again_and_again(call: Callable[[], object], seconds: float) -> Iterator[None]:
    """Call this in another thread, so many seconds apart."""
    over, raised = threading.Event(), []

    def run() -> None:
        while not over.wait(seconds):
            try:
                call()
            except Exception as error:  # noqa: BLE001  # the test fails with it
                raised.append(error)
                return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()
    assert raised == []


class Killer:
    """Kills a process of one role at a time, with SIGKILL. ``kills``: how many so far."""

    def __init__(self, server: Server, role: str, name: str) -> None:
        self.kills = 0
        self._server, self._role, self._draw = server, role, random.Random(name)

    def kill(self) -> None:
        if pids := self._server.pids(self._role):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._draw.choice(pids), signal.SIGKILL)
                self.kills += 1


def last(server: Server, do: str, **arguments: Any) -> dict[str, Any]:
    return ask(server.control_socket(), do, **arguments)[-1]


def at_rest(server: Server, size: int | None = None) -> None:
    """Wait until nothing is under way and the processes are those that the status tells of."""

    def quiet() -> bool:
        status = server.status()
        pool = status["pool"]
        if pool is None or status["at_work"] or status["retiring"] or pool["leaving"] or pool["to_recycle"]:
            return False
        count = pool["size"]
        roles = len(server.pids("worker"))
        return pool["ready"] == count == roles == len(status["workers"]) and size in (None, count)

    wait_until(quiet, f"a server at rest:\n{server.log[-3000:]}")


@pytest.mark.parametrize("name", short(PROCESSES, ("hshr-pushed-hybrid", "hsha-front-processes")))
def test_workers_killed_while_all_are_replaced(name: str, serve: Serve) -> None:
    server = begun(serve, name, 4)
    killer = Killer(server, "worker", name)
    with Hammer(server.port) as hammer:
        with again_and_again(killer.kill, KILL_SECONDS):
            while killer.kills < KILLS:
                done = last(server, "recycle", wait=PATIENCE)
                assert done["exit"] == 0 or " died" in done["error"], done
                for size in ("2", "3", "4") if name in CHANGING else ():
                    assert last(server, "scale", to=size, wait=PATIENCE)["exit"] == 0
        at_rest(server, 4)
        hammer.goes_on()
    assert hammer.refused == []
    with Load(server.port) as load:
        assert last(server, "recycle", wait=PATIENCE)["exit"] == 0
        load.goes_on()
    assert load.failures == []
    at_rest(server, 4)
    assert server.stop() == 0


@pytest.mark.parametrize("name", short(FRONTS, ("hshr-pushed", "hsha-front-processes-asgi")))
def test_fronts_killed_while_workers_come_and_go(name: str, serve: Serve) -> None:
    server = begun(serve, name, 2)
    killer = Killer(server, "front", name)
    with Hammer(server.port) as hammer:
        with again_and_again(killer.kill, KILL_SECONDS):
            while killer.kills < FRONTS_KILLED:
                for size in ("4", "1", "3", "1", "2"):
                    assert last(server, "scale", to=size, wait=PATIENCE)["exit"] == 0, server.log
                assert last(server, "recycle", wait=PATIENCE)["exit"] == 0, server.log
        wait_until(lambda: server.pids("front"), "the last front")
        at_rest(server, 2)
        hammer.goes_on()
    assert hammer.refused == []
    with Load(server.port) as load:
        assert last(server, "scale", to="4", wait=PATIENCE)["exit"] == 0
        load.goes_on()
    assert load.failures == []
    assert server.stop() == 0


@pytest.mark.parametrize("name", short(PROCESSES, ("hshr-pushed",)))
def test_a_mold_killed_while_workers_come_and_go(name: str, serve: Serve) -> None:
    server = begun(serve, name, 2)
    with Load(server.port, short=0, busy=2) as load:
        finished: list[dict[str, Any]] = []
        thread = threading.Thread(target=lambda: finished.append(last(server, "recycle")))
        thread.start()
        server.wait_for_log(r"leaves: recycled")
        os.kill(*server.pids("mold"), signal.SIGKILL)
        thread.join(PATIENCE)
        assert finished[0]["exit"] in (0, 1)
        at_rest(server, 2)
        load.goes_on()
    lends = KINDS[name][0].lends  # its connections end with the front, which ends with the mold
    assert load.failures == [] or lends
    assert server.stop() == 0


STORM = {
    "SIGHUP": lambda server, draw: server.signal(signal.SIGHUP),
    "SIGTTIN": lambda server, draw: server.signal(signal.SIGTTIN),
    "SIGTTOU": lambda server, draw: server.signal(signal.SIGTTOU),
    "scale": lambda server, draw: last(server, "scale", to=str(draw.randint(1, 5)), wait=PATIENCE),
    "recycle": lambda server, draw: last(server, "recycle", wait=PATIENCE),
    "drain": lambda server, draw: last(server, "drain", worker=draw.randint(0, 3), wait=PATIENCE),
    "resume": lambda server, draw: last(server, "resume", wait=PATIENCE),
    "reload": lambda server, draw: last(server, "reload", wait=PATIENCE),
}


def storm(server: Server, name: str, stack: contextlib.ExitStack, gone: tuple[type[Exception], ...] = ()) -> None:
    """Everything at once from now on. ``gone``: what commands may raise when the server has ended."""

    def act(call: Callable[[Server, random.Random], object], draw: random.Random) -> None:
        with contextlib.suppress(*gone):
            call(server, draw)

    for number, (kind, call) in enumerate(STORM.items()):
        draw = random.Random(f"{name} {kind}")
        stack.enter_context(again_and_again(partial(act, call, draw), 0.11 + number / 100))


@pytest.mark.parametrize("name", short(PROCESSES, ("hshr-pushed-asgi", "reuse-port")))
def test_a_storm_of_signals_and_commands_loses_nothing(name: str, serve: Serve) -> None:
    server = begun(serve, name, 2)
    with Load(server.port) as load:
        with contextlib.ExitStack() as stack:
            storm(server, name, stack)
            load.goes_on(1000)
        at_rest(server)
        assert last(server, "scale", to="2", wait=PATIENCE)["exit"] == 0
        at_rest(server, 2)
        load.goes_on()
    assert load.failures == []
    assert server.stop() == 0


@pytest.mark.parametrize("name", short(PROCESSES, ("hsha-front-processes",)))
def test_a_stop_in_a_storm(name: str, serve: Serve) -> None:
    server = begun(serve, name, 2)
    with contextlib.ExitStack() as stack:
        storm(server, name, stack, gone=(OSError, ValueError, IndexError))  # no socket, or no answer: it has ended
        server.wait_for_log("has left|generation 3 of faults is ready")
        pids = server.tree()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0, server.log
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.parametrize("name", short(FRONTS, ("hshr-pushed",)))
def test_a_front_that_stands_still_while_workers_leave(name: str, serve: Serve) -> None:
    """They are killed when their time is over, and their successors too, until it hears of them. What they have at that
    moment is lost: a request where the front holds the connections. Nobody waits for ever."""
    server = begun(serve, name, 4, timeouts={"drain": 0.5})
    (front,) = server.pids("front")
    with Load(server.port) as load:
        os.kill(front, signal.SIGSTOP)
        finished: list[dict[str, Any]] = []
        thread = threading.Thread(target=lambda: finished.append(last(server, "scale", to="2", wait=PATIENCE)))
        thread.start()
        time.sleep(2)  # four times their time to leave
        os.kill(front, signal.SIGCONT)
        thread.join(PATIENCE)
        assert [each["exit"] for each in finished] == [0]
        load.goes_on()
    assert server.pids("front") == [front]
    assert not [each for each in load.failures if "timed out" in each]
    assert len(load.failures) <= 4 or not KINDS[name][0].lends  # of two workers and their last successors
    at_rest(server, 2)
    assert server.stop() == 0
