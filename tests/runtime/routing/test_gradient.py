"""The limit that finds itself, against an app that takes as long as its load makes it."""

from __future__ import annotations

from collections import deque
from math import inf
from random import Random

import pytest

from poolctl.runtime.routing.gradient import DIP_WINDOWS, FIRST_LIMIT, WINDOW_SAMPLES, Gradient

MOST = 256
STEP = 0.001  # seconds of a simulation's step
LOOK_STEPS = 100  # between two looks
MINUTE = 60_000  # steps


class App:
    """Workers whose requests take ``service`` seconds each, as long as there are ``knee`` of them at once at most; more
    share what the worker does. ``clients``: the requests that there are, in each worker or waiting for it; ``spread``:
    by how much they differ, as a share."""

    def __init__(self, knee: float, *, service: float = 0.02, clients: float = inf, workers: int = 1) -> None:
        self.knee, self.service, self.clients = knee, service, clients
        self.spread = 0.0
        self.now = 1.0
        self.gradient = Gradient(MOST)
        self.running: list[deque[list[float]]] = [deque() for _ in range(workers)]  # [seconds of work left, began]
        self.draw = Random(11)
        self.ended = 0

    def run(self, steps: int) -> list[int]:
        """The limits after each look."""
        limits = []
        for step in range(steps):
            for worker in self.running:
                self._work(worker)
            self.now += STEP
            if step % LOOK_STEPS == 0:
                self.gradient.look(self.now, len(self.running))
                limits.append(self.gradient.limit)
        return limits

    def _work(self, worker: deque[list[float]]) -> None:
        while len(worker) < min(self.gradient.limit, self.clients):
            worker.append([self.service * (1 + self.draw.uniform(-self.spread, self.spread)), self.now])
        share = STEP * min(1.0, self.knee / max(len(worker), 1))
        for task in list(worker):
            task[0] -= share
            if task[0] <= STEP / 1000:
                worker.remove(task)
                self.ended += 1
                self.gradient.took(self.now + STEP - task[1])


def usual(limits: list[int]) -> int:
    return sorted(limits)[len(limits) // 2]


@pytest.mark.parametrize("spread", [0.0, 0.8])
@pytest.mark.parametrize("workers", [1, 3])
def test_it_settles_near_the_knee_and_stays_there(spread: float, workers: int) -> None:
    app = App(knee=20, workers=workers)
    app.spread = spread
    app.run(MINUTE // 2)
    limits = app.run(MINUTE)
    assert 20 <= usual(limits) <= 40
    assert max(limits) <= 60


@pytest.mark.slow
def test_a_load_that_lasts_does_not_become_usual() -> None:
    app = App(knee=20)
    first = usual(app.run(MINUTE)[-100:])
    app.run(5 * MINUTE)
    assert abs(usual(app.run(MINUTE)) - first) <= 5


@pytest.mark.slow
def test_it_follows_the_knee() -> None:
    app = App(knee=20)
    app.run(MINUTE)
    for knee in (60, 20, 40):
        app.knee = knee
        app.run(2 * MINUTE)
        assert knee <= usual(app.run(MINUTE // 2)) <= 2 * knee, knee


def test_requests_that_take_longer_are_usual_after_a_while() -> None:
    app = App(knee=20)
    app.run(MINUTE)
    app.service *= 5
    app.run(MINUTE)
    assert 20 <= usual(app.run(MINUTE)) <= 40


def test_a_limit_that_finds_itself_does_as_much_as_the_app_can() -> None:
    app = App(knee=20)
    app.run(MINUTE)
    before = app.ended
    app.run(MINUTE)
    assert app.ended - before > 0.97 * 60 * app.knee / app.service


def test_it_does_not_grow_while_it_is_not_used() -> None:
    app = App(knee=100, clients=FIRST_LIMIT // 2 - 1)
    assert set(app.run(2 * MINUTE)) == {FIRST_LIMIT}


def test_it_grows_to_the_most_where_nothing_waits_for_anything() -> None:
    app = App(knee=inf)
    limits = app.run(MINUTE)
    assert max(limits) == MOST


def test_it_is_never_below_one() -> None:
    gradient, seconds = Gradient(MOST), 0.001
    for number in range(3 * DIP_WINDOWS):
        for _ in range(WINDOW_SAMPLES):
            gradient.took(seconds)
        seconds *= 1.1
        gradient.look(number * 1e-9 * seconds, 1)
        assert gradient.limit >= 1


def test_no_more_than_there_are_slots() -> None:
    assert Gradient(4).limit == 4
    assert Gradient(MOST).limit == FIRST_LIMIT


def test_too_few_requests_say_nothing() -> None:
    gradient = Gradient(MOST)
    gradient.look(1.0, 1)
    for _ in range(WINDOW_SAMPLES - 1):
        gradient.took(5.0)
    gradient.look(2.0, 1)
    assert gradient._usual == 0.0
