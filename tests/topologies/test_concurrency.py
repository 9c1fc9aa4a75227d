"""With concurrency: auto the front gives each worker as many requests at once as the limit says, and keeps the others.

Every request goes through a gate of the test, which holds it until it is let go; so nothing depends on time.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack

import pytest
from harness.client import Client
from harness.gate import gate
from harness.server import Serve, wait_until

from poolctl.runtime.routing.gradient import FIRST_LIMIT

LATE = 5


@pytest.mark.parametrize("dispatch", ["shared-queue", "least-loaded"])
@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_beyond_the_limit_waits_in_the_front(serve: Serve, workers: int, dispatch: str) -> None:
    server = serve(
        {
            "app": {"use": "asgi", "target": "gated:asgi", "concurrency": "auto"},
            "pool": {"size": workers},
            "dispatch": dispatch,
            "overload": "off",
        }
    )
    with gate() as made, ExitStack() as stack:
        clients = [stack.enter_context(Client(server.port)) for _ in range(workers * FIRST_LIMIT + LATE)]
        for client in clients:
            client.ask(made.path)
        running = [made.arrival() for _ in range(workers * FIRST_LIMIT)]
        assert Counter(pid for pid, _ in running) == dict.fromkeys(server.pids("worker"), FIRST_LIMIT)
        wait_until(lambda: server.status()["waiting"] == LATE, "those that wait")
        assert server.status()["concurrency"] == FIRST_LIMIT
        assert server.status()["in_flight"] == workers * FIRST_LIMIT
        assert made.nobody()
        for _, inside in running:
            inside.close()
        for _ in range(LATE):
            made.arrival()[1].close()
        assert [client.answer().body for client in clients] == [b"ok"] * len(clients)
    assert server.stop() == 0


def test_a_number_stays_as_it_is(serve: Serve) -> None:
    server = serve({"app": {"use": "asgi", "target": "gated:asgi", "concurrency": 7}})
    assert server.status()["concurrency"] is None
    assert server.stop() == 0


def test_a_pool_grows_when_its_workers_have_all_that_they_may(serve: Serve) -> None:
    server = serve(
        {
            "app": {"use": "asgi", "target": "gated:asgi", "concurrency": "auto"},
            "pool": {"size": {"min": 1, "max": 2}},
            "overload": "off",
        }
    )
    with gate() as made, ExitStack() as stack:
        (first,) = server.pids("worker")
        clients = [stack.enter_context(Client(server.port)) for _ in range(FIRST_LIMIT + 1)]
        for client in clients:
            client.ask(made.path)
        running = [made.arrival() for _ in range(FIRST_LIMIT)]
        assert {pid for pid, _ in running} == {first}
        second, inside = made.arrival()  # once there is a worker for it
        assert second != first
        for each in (inside, *(each for _, each in running)):
            each.close()
        assert [client.answer().body for client in clients] == [b"ok"] * len(clients)
    assert server.stop() == 0
