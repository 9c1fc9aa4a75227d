"""Strategies of users in live servers, with real processes and threads: right ones, and all ways to be wrong."""

from __future__ import annotations

import os
import signal
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client, clients, get
from harness.forms import in_turn, short
from harness.server import Serve, Server, wait_until

SIZE = 3
STRATEGIES = '''
import os, pathlib, sys, time
from dataclasses import dataclass
from poolctl.plugin import Dispatch

NOTES = pathlib.Path(__file__).with_name("notes")


def note(text):
    with NOTES.open("a") as file:
        file.write(text + "\\n")


class Raises(Dispatch):
    def pick(self, task, inboxes):
        raise KeyError("weights")


class Leaves(Dispatch):
    def pick(self, task, inboxes):
        sys.exit("no weights")


class Strange(Dispatch):
    def pick(self, task, inboxes):
        return ["not", "an", "inbox"]


class Gone(Dispatch):
    """Answers an inbox that it has made itself."""

    def pick(self, task, inboxes):
        from poolctl.plugin import InboxView
        return InboxView(0, [0] * 8, [])


class Slow(Dispatch):
    slow = True

    def pick(self, task, inboxes):
        if self.slow:
            self.slow = False
            time.sleep(0.2)
        return inboxes[-1]


class Abstains(Dispatch):
    def pick(self, task, inboxes):
        return None


class Chooses(Dispatch):
    """Chooses what does not wait."""

    def pick(self, task, inboxes):
        return None

    def next(self, inbox, waiting):
        return waiting


class BadHooks(Dispatch):
    def pick(self, task, inboxes):
        return inboxes[0]

    def joined(self, inbox):
        raise ValueError("joined")

    def finished(self, task, inbox, seconds):
        raise ValueError("finished")


class Idle(Dispatch):
    """Only who has nothing to do."""

    def pick(self, task, inboxes):
        return next((each for each in inboxes if not each.load), None)


class IdleWithoutSweeps(Idle):
    """So that only the end of a task can tell a front that a worker is idle again."""

    def __init__(self):
        from poolctl.runtime.ownership.half_sync_half_reactive import front as lending
        from poolctl.runtime.loop import loop

        loop.SWEEP_SECONDS = lending.SWEEP_SECONDS = 1000.0


class ShortFirst(Idle):
    """Of those that wait the one whose path is shortest."""

    def next(self, inbox, waiting):
        return min(waiting, key=lambda task: len(task.path))

    @property
    def inspects(self):
        return True


class Notes(Dispatch):
    def pick(self, task, inboxes):
        return inboxes[0]

    def joined(self, inbox):
        note(f"joined {inbox.index}")

    def left(self, inbox):
        note(f"left {inbox.index}")

    def finished(self, task, inbox, seconds):
        note(f"finished {inbox.index} {seconds:.2f} {task.client}")
'''
POOLS = {"processes": {"kind": "process", "size": SIZE}, "threads": {"kind": "thread", "size": SIZE}}
pools = pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)


def serve_strategy(serve: Serve, folder: Path, name: str, pool: Any, tracebacks: bool = False, **more: Any) -> Server:
    (folder / "strategies.py").write_text(STRATEGIES)
    topology = {"app": "demo", "pool": pool, "ownership": "half-sync/half-reactive"}
    topology |= {"dispatch": f"./strategies.py:{name}", "affinity": "request", **more}
    return serve(topology, tracebacks=tracebacks)


WRONG = {
    "Raises": "pick raised KeyError: 'weights'; using least-loaded for this task",
    "Leaves": "pick raised SystemExit: no weights; using least-loaded for this task",
    "Strange": "pick returned an object of type list, which is not on offer; using least-loaded",
    "Gone": "pick returned <inbox 0, load 0>, which is not on offer; using least-loaded",
    "Slow": "pick took 0.2 s; using least-loaded for this task",
    "Abstains": "pick returned None although all workers are idle; using least-loaded",
    "Chooses": "next returned an object of type tuple, which is not a waiting task; using the oldest",
    "BadHooks": "joined raised ValueError: joined (logged once",
}


@pytest.mark.parametrize(("name", "pool"), short(product(WRONG, POOLS), in_turn(WRONG, POOLS)))
def test_a_strategy_that_is_wrong_loses_no_request(serve: Serve, tmp_path: Path, name: str, pool: str) -> None:
    server = serve_strategy(serve, tmp_path, name, POOLS[pool], tracebacks=True)
    with clients(server.port, 6) as all_of_them:
        for _ in range(3):
            for client in all_of_them:
                client.ask()
            assert [client.answer().status for client in all_of_them] == [200] * 6
    assert server.stop() == 0
    assert server.log.count(WRONG[name]) == 1, server.log


@pools
def test_a_task_that_waits_for_an_idle_worker_is_taken_as_soon_as_one_is(
    serve: Serve, tmp_path: Path, pool: Any
) -> None:
    server = serve_strategy(serve, tmp_path, "IdleWithoutSweeps", pool)
    with clients(server.port, SIZE + 1) as all_of_them:
        for client in all_of_them[:SIZE]:
            client.ask("/sleep?seconds=0.15")
        all_of_them[-1].ask()
        assert all_of_them[-1].answer().status == 200  # not at the next sweep, which never comes
        assert [client.answer().status for client in all_of_them[:SIZE]] == [200] * SIZE
    assert server.stop() == 0


@pools
def test_next_chooses_among_those_that_wait(serve: Serve, tmp_path: Path, pool: Any) -> None:
    server = serve_strategy(serve, tmp_path, "ShortFirst", pool | {"size": 1})
    with clients(server.port, 4) as all_of_them:
        first, long, middle, short = all_of_them
        first.ask("/sleep?seconds=0.3")
        for client, path in ((long, "/sleep-not-there-and-long"), (middle, "/not-there"), (short, "/")):
            client.ask(path)
        ended = [first.answer().status]
        order = []
        waiting = {client.sock.fileno(): path for client, path in ((long, "l"), (middle, "m"), (short, "s"))}
        for client in (short, middle, long):
            client.answer()
            order.append(waiting[client.sock.fileno()])
        assert ended == [200]
        assert order == ["s", "m", "l"]
    assert server.stop() == 0


def test_joined_left_and_finished_are_told(serve: Serve, tmp_path: Path) -> None:
    server = serve_strategy(serve, tmp_path, "Notes", POOLS["processes"])
    notes = tmp_path / "notes"
    with Client(server.port) as client:
        old = client.get("/pid").process
        assert client.get("/sleep?seconds=0.1").status == 200
        wait_until(lambda: "finished 0 0.1" in notes.read_text(), "the second answer to be noted")
        assert notes.read_text().startswith("joined 0\njoined 1\njoined 2\nfinished 0 0.0")
        assert "127.0.0.1" in notes.read_text()
        notes.write_text("")
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: notes.read_text() == "left 0\njoined 0\n", "its successor")
        assert client.get("/pid").process not in (old, 0)
    assert server.stop() == 0


def test_a_connection_is_handed_over_by_a_strategy_too(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "strategies.py").write_text(STRATEGIES.replace("def finished", "def not_finished"))
    topology = {"app": "demo", "pool": POOLS["processes"], "ownership": "half-sync/half-async"}
    server = serve(topology | {"dispatch": "./strategies.py:Notes"})
    old = get(server.port, "/pid").process
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: (tmp_path / "notes").read_text().endswith("left 0\njoined 0\n"), "its successor")
    assert get(server.port, "/pid").status == 200
    assert server.stop() == 0


@pytest.mark.parametrize("ownership", ["half-sync/half-reactive", "half-sync/half-async"])
def test_while_a_worker_is_dead_nothing_new_is_sent_to_it(serve: Serve, tmp_path: Path, ownership: str) -> None:
    (tmp_path / "late.py").write_text(
        "import os, pathlib, time\n"
        "from poolctl.runtime.app.demo import application\n"
        "here = pathlib.Path(__file__).with_name('here')\n"
        "while here.exists() and not here.with_name('go').exists():\n"
        "    time.sleep(0.01)\n"
    )
    topology = {"app": {"wsgi": "late:application"}, "pool": POOLS["processes"], "dispatch": "round-robin"}
    server = serve(topology | {"ownership": ownership}, path=tmp_path)
    (tmp_path / "here").touch()  # successors take their time
    workers = server.pids("worker")
    os.kill(workers[0], signal.SIGKILL)
    server.wait_for_log("restarting")  # and the front was told before that
    answered = {get(server.port, "/pid").process for _ in range(12)}
    assert answered == set(workers[1:])
    (tmp_path / "go").touch()
    wait_until(lambda: len({get(server.port, "/pid").process for _ in range(6)}) == SIZE, "its successor")
    assert server.stop() == 0
