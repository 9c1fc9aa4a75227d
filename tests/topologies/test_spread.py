"""The default dispatch of workers that serve several requests at once spreads them over processes first.

Every request here goes through a gate of the test: it says in which process it runs and stays there until it is let
go, so what is counted is who has which request at one moment, and nothing depends on time.
"""

from __future__ import annotations

import os
import random
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from harness.client import PATIENCE, Client
from harness.gate import Gate, gate
from harness.server import Serve, Server, at_rest, wait_until

PROCESSES, EACH = 3, 3
REACTIVE = "half-sync/half-reactive"
THREADED = {"app": {"wsgi": "gated:application"}, "pool": {"size": PROCESSES, "threads": EACH}}
AWAITED = {
    "app": {"use": "asgi", "target": "gated:asgi", "concurrency": EACH},
    "pool": {"size": PROCESSES},
    "ownership": REACTIVE,
}
KINDS = {"threads": THREADED, "awaited": AWAITED}
kinds = pytest.mark.parametrize("kind", KINDS)


class Crowd:
    """Requests that run, and the connections that they came on."""

    def __init__(self, server: Server, gate: Gate, stack: ExitStack) -> None:
        self.server, self.gate, self.stack = server, gate, stack
        self.idle: list[Client] = []
        self.running: list[tuple[int, socket.socket]] = []
        self.asking: list[Client] = []

    def ask(self, count: int) -> None:
        """So many requests at once, and then wait until all of them run."""
        while len(self.idle) < count:
            self.idle.append(self.stack.enter_context(Client(self.server.port)))
        chosen, self.idle = self.idle[:count], self.idle[count:]
        for client in chosen:
            client.ask(self.gate.path)
        self.asking += chosen
        self.running += [self.gate.arrival() for _ in range(count)]

    def release(self, of: list[tuple[int, socket.socket]] | None = None) -> None:
        """Let these requests, or all, go; wait for their answers and until their workers have nothing to do with
        them."""
        going = list(self.running) if of is None else of
        for each in going:
            self.running.remove(each)
            each[1].close()
        for _ in going:
            wait_until(lambda: any(map(readable, self.asking)), "an answer")
            client = next(filter(readable, self.asking))
            self.asking.remove(client)
            assert client.answer().body == b"ok"
            self.idle.append(client)
        wait_until(lambda: all(map(at_rest, self.server.pids("worker"))), "workers at rest")

    def counts(self) -> list[int]:
        """How many each process has, of all that there are."""
        found = Counter(pid for pid, _ in self.running)
        assert set(found) <= set(self.server.pids("worker"))
        return sorted(found[pid] for pid in self.server.pids("worker"))


def readable(client: Client) -> bool:
    client.sock.setblocking(False)
    try:
        return bool(client.sock.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        client.sock.settimeout(PATIENCE)


@pytest.fixture
def crowd(serve: Serve, kind: str) -> Iterator[Crowd]:
    server = serve(KINDS[kind])
    with gate() as made, ExitStack() as stack:
        yield Crowd(server, made, stack)
    assert server.stop() == 0


def even(counts: list[int]) -> bool:
    return counts[-1] - counts[0] <= 1


@kinds
def test_simultaneous_requests_meet_different_processes(crowd: Crowd) -> None:
    for count in (2, PROCESSES, PROCESSES, 1, PROCESSES + 2, PROCESSES, PROCESSES * EACH, 2, PROCESSES):
        crowd.ask(count)
        assert even(crowd.counts()), (count, crowd.counts())
        crowd.release()


@kinds
def test_a_newcomer_meets_a_process_with_the_fewest_after_any_history(crowd: Crowd) -> None:
    draw = random.Random(4711)
    for _ in range(60):
        if len(crowd.running) == PROCESSES * EACH or (crowd.running and draw.random() < 0.45):
            crowd.release(draw.sample(crowd.running, 1))
            continue
        fewest = crowd.counts()[0]
        before = Counter(pid for pid, _ in crowd.running)
        crowd.ask(1)
        assert before[crowd.running[-1][0]] == fewest
    crowd.release()


@kinds
def test_no_request_waits_while_a_place_is_free(crowd: Crowd) -> None:
    places = PROCESSES * EACH
    crowd.ask(places)
    late = [crowd.stack.enter_context(Client(crowd.server.port)) for _ in range(4)]
    for client in late:
        client.ask(crowd.gate.path)
    assert crowd.gate.nobody()
    for client in late:  # a place that becomes free is taken at once
        pid, inside = crowd.running.pop(0)
        inside.close()
        arrived = crowd.gate.arrival()
        assert arrived[0] == pid
        crowd.running.append(arrived)
        crowd.asking.append(client)
    crowd.release()


def test_what_waits_in_the_front_is_told(serve: Serve, tmp_path: Path) -> None:
    """``poolctl status`` counts it as what waits in an inbox."""
    place = dict.fromkeys(("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "TMPDIR"), str(tmp_path))
    server = serve({**THREADED, "name": "shop"}, environment=place)
    with gate() as made, ExitStack() as stack:
        crowd = Crowd(server, made, stack)
        crowd.ask(PROCESSES * EACH)
        late = [stack.enter_context(Client(server.port)) for _ in range(3)]
        for client in late:
            client.ask(made.path)
        wait_until(lambda: server.status()["waiting"] == len(late), "those that wait")
        assert server.status()["in_flight"] == PROCESSES * EACH
        crowd.release(crowd.running[:3])
        crowd.running += [made.arrival() for _ in late]
        wait_until(lambda: server.status()["waiting"] == 0, "their turn")
        crowd.asking += late
        crowd.release()
    assert server.stop() == 0


@kinds
def test_a_worker_that_died_and_came_back_has_its_share(crowd: Crowd) -> None:
    places = PROCESSES * EACH
    crowd.ask(places)
    victim = crowd.running[0][0]
    late = [crowd.stack.enter_context(Client(crowd.server.port)) for _ in range(EACH)]
    for client in late:
        client.ask(crowd.gate.path)  # nobody has room for them
    os.kill(victim, signal.SIGKILL)
    lost = [each for each in crowd.running if each[0] == victim]
    assert len(lost) == EACH
    for each in lost:
        crowd.running.remove(each)
        each[1].close()
    # The others are full as before: what waits is for the successor, as soon as it is there.
    crowd.running += [crowd.gate.arrival() for _ in late]
    crowd.asking += late
    assert crowd.counts() == [EACH] * PROCESSES
    failed = 0
    while failed < EACH:
        wait_until(lambda: any(map(readable, crowd.asking)), "a 502")
        client = next(filter(readable, crowd.asking))
        assert client.answer().status == 502
        crowd.asking.remove(client)
        failed += 1
    crowd.release()
    crowd.ask(PROCESSES)
    assert crowd.counts() == [1] * PROCESSES
    crowd.release()


@kinds
def test_pipelined_requests_spread_too(crowd: Crowd) -> None:
    several = [crowd.stack.enter_context(Client(crowd.server.port)) for _ in range(PROCESSES)]
    for client in several:
        for _ in range(4):
            client.ask(crowd.gate.path)
    for _ in range(4):  # one of each connection runs at a time
        crowd.running += [crowd.gate.arrival() for _ in several]
        assert even(crowd.counts())
        while crowd.running:
            crowd.running.pop()[1].close()
    for client in several:
        assert [client.answer().body for _ in range(4)] == [b"ok"] * 4


def test_no_request_waits_for_an_event_loop_that_computes_while_another_is_free(serve: Serve) -> None:
    server = serve({**AWAITED, "pool": {"size": 2}, "app": {**AWAITED["app"], "concurrency": 20}})
    with gate() as made, gate() as computing, ExitStack() as stack:
        crowd = Crowd(server, made, stack)
        blocker = stack.enter_context(Client(server.port))
        blocker.ask(f"/compute{computing.path}")
        stands, inside = computing.arrival()
        for _ in range(8):  # of which the process that stands still would have half
            crowd.ask(1)
            assert crowd.running[-1][0] != stands
        inside.close()
        assert blocker.answer().body == b"ok"
        while crowd.running[-1][0] != stands:  # which ends, for the other one has room for twelve more
            crowd.ask(1)
        crowd.release()
    assert server.stop() == 0


def test_processes_of_threads_take_turns_to_lead(serve: Serve) -> None:
    """The kernel wakes all processes for a newcomer, and one that has more connections lets the others try first."""
    server = serve({**THREADED, "ownership": "leader/followers"})
    with gate() as made, ExitStack() as stack:
        crowd = Crowd(server, made, stack)
        for _ in range(PROCESSES * EACH):
            crowd.ask(1)
        assert crowd.counts()[0] > 0, crowd.counts()
        crowd.release()
    assert server.stop() == 0


def test_connections_are_handed_to_processes_evenly(serve: Serve) -> None:
    """half-sync/half-async has an inbox for each process, and a process that is woken for it shares it with nobody."""
    server = serve({**THREADED, "ownership": "half-sync/half-async"})
    with gate() as made, ExitStack() as stack:
        crowd = Crowd(server, made, stack)
        for count in range(1, PROCESSES * EACH + 1):
            crowd.ask(1)
            assert even(crowd.counts()), (count, crowd.counts())
        crowd.release()
    assert server.stop() == 0
