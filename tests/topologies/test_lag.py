"""New connections go to event loops that are not late, though a late one has fewer connections.

Every request goes through a gate of the test, which holds it until it is let go; so nothing depends on time.
"""

from __future__ import annotations

import random
from collections import Counter
from contextlib import ExitStack

from harness.client import Client
from harness.gate import gate
from harness.server import Serve, Server, wait_until

PROCESSES, EACH = 3, 3
OWNED = {
    "app": {"use": "asgi", "target": "gated:asgi"},
    "pool": {"size": PROCESSES},
    "ownership": "half-sync/half-async",
}
BLOCKED_SECONDS = 1.0  # far more than by what a loaded machine delays the loops of the others


def lags(server: Server) -> dict[int, float]:
    return {each["pid"]: each["lag_seconds"] for each in server.status()["workers"]}


def test_a_loop_that_computes_gets_no_new_connection(serve: Serve) -> None:
    server = serve(OWNED)
    with gate() as made, ExitStack() as stack:
        theirs: dict[int, list[Client]] = {pid: [] for pid in server.pids("worker")}

        def newcomer() -> int:
            """The process that gets one more connection, which stays open."""
            client = stack.enter_context(Client(server.port))
            client.ask(made.path)
            pid, inside = made.arrival()
            inside.close()
            assert client.answer().body == b"ok"
            theirs[pid].append(client)
            return pid

        for _ in range(PROCESSES * EACH):
            newcomer()
        assert [len(clients) for clients in theirs.values()] == [EACH] * PROCESSES
        blocked = random.Random(5).choice(list(theirs))
        computing, *others = theirs[blocked]
        for client in others:
            client.close()
        theirs[blocked] = [computing]
        wait_until(lambda: server.status()["in_flight"] == PROCESSES * EACH - len(others), "their ends")

        computing.ask(f"/compute{made.path}")
        pid, inside = made.arrival()
        assert pid == blocked
        wait_until(lambda: lags(server)[blocked] > BLOCKED_SECONDS, "a loop that is late")
        found = Counter(newcomer() for _ in range(2 * (PROCESSES - 1)))
        assert found == dict.fromkeys(theirs.keys() - {blocked}, 2)  # the others, in their turns

        inside.close()
        assert computing.answer().body == b"ok"
        wait_until(lambda: max(lags(server).values()) == 0, "loops that rest")
        assert newcomer() == blocked
    assert server.stop() == 0
