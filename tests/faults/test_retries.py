"""Workers that are killed again and again while idempotent requests may be retried: no client notices."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
from harness.client import Client
from harness.forms import short
from harness.machine import PATIENCE
from harness.server import Serve, wait_until

from faults.models import ALL

SECONDS = 0.02  # that a request takes, so that a worker hardly ever dies in the microseconds in which it answers
INTERVAL = 0.2  # seconds between two kills
LENDING = [name for name, model in ALL.items() if model.processes and model.lends]
DISPATCHES = {"shared-queue": "request", "least-loaded": "connection"}
CASES = [(name, dispatch) for name in LENDING for dispatch in DISPATCHES]


@dataclass
class Getting:
    """Clients that send one GET after the other: every second over a connection that it keeps, the others over a new
    one each. Only a kept connection may end without an answer, after an earlier one: its worker died between that and
    giving the connection back, which the client cannot know when it sends the next request."""

    port: int
    count: int
    failures: list[str] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)  # the client of each kept connection that ended
    answers: list[int] = field(default_factory=list)  # of each client
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.answers = [0] * self.count
        for number in range(self.count):
            thread = threading.Thread(target=self._run, args=(number,), daemon=True)
            self._threads.append(thread)
            thread.start()
        self.each_is_answered()
        return self

    def _run(self, number: int) -> None:
        while not self._over.is_set():
            answered = 0
            try:
                with Client(self.port) as client:
                    while not self._over.is_set() and (number % 2 or not answered):
                        self._get(client, number)
                        answered += 1
            except (OSError, EOFError) as error:
                if answered:
                    self.ends.append(number)
                else:
                    self.failures.append(repr(error))

    def _get(self, client: Client, number: int) -> None:
        status = client.get(f"/sleep?seconds={SECONDS}", close=not number % 2).status
        if status != 200:
            self.failures.append(str(status))
        self.answers[number] += 1

    def each_is_answered(self) -> None:
        """Wait until each client has an answer to a request that it sends from now on."""
        before = list(self.answers)
        wait_until(
            lambda: all(now > then + 1 for now, then in zip(self.answers, before, strict=True)), "answers for all"
        )

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.mark.parametrize("kills", [10, pytest.param(40, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("name", "dispatch"), short(CASES, {("hshr-processes", "shared-queue"), ("hshr-hybrid", "least-loaded")})
)
def test_five_kills_a_second_cost_no_get(serve: Serve, name: str, dispatch: str, kills: int) -> None:
    model, size = ALL[name], 4 if kills == 10 else 8
    ownership: dict[str, Any] = {**model.ownership, "retry": "idempotent"}
    more = {"ownership": ownership, "dispatch": dispatch, "affinity": DISPATCHES[dispatch]}
    server = serve({**model.topology(size), **more}, environment=model.environment)
    (front,) = server.pids("front")
    held = len(os.listdir(f"/proc/{front}/fd"))
    with Getting(server.port, 2 * size) as load:
        for number in range(kills):
            began = time.monotonic()
            workers = wait_until(lambda: len(found := model.workers(server)) > 1 and found, "two workers")
            os.kill(workers[number % len(workers)], signal.SIGKILL)
            load.each_is_answered()  # the next kill must not meet the same request, which is retried once
            time.sleep(max(0.0, began + INTERVAL - time.monotonic()))  # the rate is what is tested
    assert load.failures == []
    assert len(load.ends) <= kills * model.threads
    assert server.status()["retried"] > 0
    assert server.pids("front") == [front]
    wait_until(lambda: len(model.workers(server)) == size, "all workers")
    wait_until(lambda: len(os.listdir(f"/proc/{front}/fd")) <= held, "the end of all connections")
    assert server.stop() == 0
