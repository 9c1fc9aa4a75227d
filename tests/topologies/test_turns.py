"""Threads of a process take turns while their requests compute, and stop as soon as one of them waits."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from harness.client import PATIENCE, Client, clients
from harness.server import Serve, Server, wait_until
from topologies.test_spread import gate

from poolctl.runtime.ownership.half_sync_half_reactive.turns import scheduled

THREADS = 4
IN_A_ROW = 32  # requests that the same thread serves, while three others could

pytestmark = pytest.mark.skipif(not scheduled(), reason="the kernel does not say how long threads waited for a core")


class Load:
    """So many clients that ask again as soon as they have their answer."""

    def __init__(self, server: Server, processes: int, clients: int, stack: ExitStack) -> None:
        self._processes = processes
        self.answered = 0
        self._rows: dict[str, tuple[str, int]] = {}  # by process: the thread that served last, and how many in a row
        self._longest: dict[str, int] = {}  # by process: the longest row so far
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._failed: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._ask, args=(stack.enter_context(Client(server.port)),)) for _ in range(clients)
        ]
        for thread in self._threads:
            thread.start()
        stack.callback(self.stop)

    def _ask(self, client: Client) -> None:
        try:
            while not self._over.is_set():
                headers = client.get("/").headers
                process, thread = headers["x-process"], headers["x-thread"]
                with self._lock:
                    last, row = self._rows.get(process, ("", 0))
                    row = row + 1 if thread == last else 1
                    self._rows[process] = thread, row
                    self._longest[process] = max(row, self._longest.get(process, 0))
                    self.answered += 1
        except BaseException as error:
            self._failed.append(error)
            raise

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        assert not self._failed

    def takes_turns(self) -> bool:
        """Whether in each process one thread has served many requests in a row, at whatever moment."""
        with self._lock:
            return len(self._longest) == self._processes and min(self._longest.values()) >= IN_A_ROW

    def forget(self) -> None:
        with self._lock:
            self._rows.clear()
            self._longest.clear()


@contextmanager
def loaded(server: Server, processes: int = 1, clients: int = THREADS) -> Iterator[Load]:
    with ExitStack() as stack:
        yield Load(server, processes, clients, stack)


@pytest.fixture
def computing_server(serve: Serve, size: int) -> Server:
    return serve({"app": {"wsgi": "computing:application"}, "pool": {"size": size, "threads": THREADS}})


@pytest.mark.parametrize("size", [1, 2])
def test_requests_that_compute_run_one_after_the_other(computing_server: Server, size: int) -> None:
    with loaded(computing_server, size, size * THREADS) as load:
        wait_until(load.takes_turns, "turns")
    assert computing_server.stop() == 0


@pytest.mark.parametrize("size", [1])
def test_who_waits_keeps_no_turn(computing_server: Server, size: int) -> None:
    """Requests that wait hold all threads but one, and that one serves the others."""
    with gate() as made, ExitStack() as stack, loaded(computing_server) as load:
        wait_until(load.takes_turns, "turns")
        waiting = [stack.enter_context(Client(computing_server.port)) for _ in range(THREADS - 1)]
        for client in waiting:
            client.ask(made.path)
        gates = [made.arrival()[1] for _ in waiting]
        before = load.answered
        wait_until(lambda: load.answered > before + 2 * IN_A_ROW, "answers to the others")
        for each in gates:
            each.close()
        assert [client.answer().body for client in waiting] == [b"ok"] * len(waiting)
        load.forget()
        wait_until(load.takes_turns, "turns, once more")
    assert computing_server.stop() == 0


@pytest.mark.parametrize("dispatch", ["round-robin", "least-loaded", "shared-queue"])
def test_the_last_of_a_burst_waits_for_nobody(serve: Serve, dispatch: str) -> None:
    """Nothing is sent after it that would wake the front, and the turn began when all had been sent."""
    pool = {"size": 1, "threads": 2}
    server = serve({"app": {"wsgi": "computing:application"}, "pool": pool, "dispatch": dispatch})
    with gate() as made, clients(server.port, 130) as several:
        *computing, waits = several[:121]
        for client in computing:
            client.ask("/")
        waits.ask(made.path)
        last = several[121:]
        for client in last:
            client.ask("/")
        _, inside = made.arrival()
        assert [client.answer().body for client in [*computing, *last]] == [b"ok"] * 129
        inside.close()
        assert waits.answer().body == b"ok"
    assert server.stop() == 0


@pytest.mark.parametrize("size", [2])
def test_a_stop_in_a_turn_loses_nothing(computing_server: Server, size: int) -> None:
    with ExitStack() as stack:
        with loaded(computing_server, size, size * THREADS) as load:
            wait_until(load.takes_turns, "turns")
        clients = [stack.enter_context(Client(computing_server.port)) for _ in range(size * THREADS)]
        for client in clients:
            client.get("/")
            client.ask("/")
        assert computing_server.stop() == 0
        for client in clients:
            assert client.answer().body == b"ok"


@pytest.mark.parametrize("size", [1])
def test_a_worker_killed_in_a_turn_has_a_successor_that_takes_turns(computing_server: Server, size: int) -> None:
    with loaded(computing_server) as load:
        wait_until(load.takes_turns, "turns")
    (victim,) = computing_server.pids("worker")
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: computing_server.pids("worker") not in ([], [victim]), "a successor")
    with loaded(computing_server) as load:
        wait_until(load.takes_turns, "turns of the successor")
    assert computing_server.stop() == 0
