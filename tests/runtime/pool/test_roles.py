"""What each pool makes of a site and an ownership model: roles, and the order of their beginning."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from poolctl.runtime.lifeline import Life
from poolctl.runtime.pool import process
from poolctl.runtime.pool.between_processes import BetweenProcesses
from poolctl.runtime.pool.between_threads import BetweenThreads
from poolctl.runtime.pool.iterative import Iterative
from poolctl.runtime.pool.process import Process
from poolctl.runtime.pool.process_per_connection import ProcessPerConnection
from poolctl.runtime.pool.thread import Starts, Thread
from poolctl.runtime.pool.thread_per_connection import ThreadPerConnection
from poolctl.runtime.role import Role
from poolctl.runtime.system import threads


class Recorder:
    """A site, an ownership model and a life that note in which order they are called."""

    def __init__(self, *, workers: int = 2, slots: int = 1, front: bool = True, works: int = 1) -> None:
        self.calls: list[str] = []
        self.works = works
        self.fails = False
        note = self.note
        self.site: Any = SimpleNamespace(
            name="shop",
            workers=workers,
            slots=slots,
            inboxes=[],
            shared_listeners=[SimpleNamespace(fd=40)],
            load=lambda: note("load"),
            warm=lambda: note("warm"),
            sockets=lambda: {50, 51},
        )
        self.ownership: Any = SimpleNamespace(
            has_front=front,
            front_yields=True,
            prepared={60},
            front=lambda site, life: note("front", SimpleNamespace(run=lambda service: note(f"front runs {service}"))),
            work=self._work,
            front_keeps=lambda site: {10},
            work_keeps=lambda site, worker: {20 + worker},
        )
        self.life: Any = SimpleNamespace(
            enforce=lambda: note("enforce"),
            ready=lambda: note("ready"),
            thread=lambda work, name: threads.start(work, name, daemon=False),
        )

    def note(self, what: str, answer: Any = None) -> Any:
        self.calls.append(what)
        return answer

    def _work(self, site: Any, worker: int, life: Life) -> list[Callable[[], None]]:
        self.note(f"work {worker}")
        if self.fails:
            raise ValueError("on purpose")
        return [lambda: self.note(f"runs in {threading.current_thread().name}") for _ in range(self.works)]


@pytest.fixture(autouse=True)
def _same_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own process keeps its scheduling."""
    monkeypatch.setattr(process, "do_not_preempt", lambda: None)


@pytest.fixture(autouse=True)
def _same_name() -> Any:
    name = threading.current_thread().name
    yield
    threading.current_thread().name = name


def facts(role: Role) -> tuple[str, str, frozenset[int], int, tuple[int, ...]]:
    return role.name, role.title, role.keeps, role.stage, role.rows


def test_processes_are_a_role_each_and_the_front_drains_first() -> None:
    made = Recorder(slots=3)
    assert [facts(role) for role in Process(size=2).roles(made.site, made.ownership)] == [
        ("front", "poolctl: front shop", frozenset({10}), 0, ()),
        ("worker 0", "poolctl: worker shop 0", frozenset({20}), 1, (0, 1, 2)),
        ("worker 1", "poolctl: worker shop 1", frozenset({21}), 1, (3, 4, 5)),
    ]


def test_without_a_front_there_are_only_workers() -> None:
    made = Recorder(front=False)
    assert [role.name for role in Process(size=2).roles(made.site, made.ownership)] == ["worker 0", "worker 1"]


def test_threads_are_one_role() -> None:
    made = Recorder(slots=2)
    (role,) = Thread(size=2).roles(made.site, made.ownership)
    assert facts(role) == ("threads", "poolctl: threads shop", frozenset({50, 51, 60}), 0, (0, 1, 2, 3))


@pytest.mark.parametrize(
    ("pool", "name", "title"),
    [
        (Iterative(), "worker 0", "poolctl: worker shop 0"),
        (ThreadPerConnection(), "threads", "poolctl: threads shop"),
        (ProcessPerConnection(), "front", "poolctl: front shop"),
    ],
    ids=lambda each: getattr(each, "like", None),
)
def test_a_baseline_is_one_role_that_keeps_its_listeners(pool: Any, name: str, title: str) -> None:
    made = Recorder()
    (role,) = pool.roles(made.site, None)
    assert facts(role) == (name, title, frozenset({40}), 0, (0,))
    assert pool.shape(8, shares_one_event_set=True) == (1, 1)
    assert isinstance(pool.medium(), BetweenProcesses)


@pytest.mark.parametrize(
    ("pool", "multithread", "multiprocess", "medium", "shape", "shared"),
    [
        (Process(size=4), False, True, BetweenProcesses, (4, 1), (4, 1)),
        (Process(size=1, threads=3), True, False, BetweenProcesses, (4, 3), (4, 3)),
        (Process(size="auto"), False, True, BetweenProcesses, (4, 1), (4, 1)),
        (Thread(size=4), True, False, BetweenThreads, (4, 1), (1, 4)),
        (Iterative(), False, False, BetweenProcesses, (1, 1), (1, 1)),
        (ThreadPerConnection(), True, False, BetweenProcesses, (1, 1), (1, 1)),
        (ProcessPerConnection(), False, True, BetweenProcesses, (1, 1), (1, 1)),
    ],
)
def test_what_a_pool_is(
    pool: Any,
    multithread: bool,
    multiprocess: bool,
    medium: type,
    shape: tuple[int, int],
    shared: tuple[int, int],
) -> None:
    assert (pool.multithread, pool.multiprocess) == (multithread, multiprocess)
    assert type(pool.medium()) is medium
    assert pool.shape(4, shares_one_event_set=False) == shape
    assert pool.shape(4, shares_one_event_set=True) == shared


# how a role begins


def test_a_worker_is_ready_when_all_of_its_threads_can_serve() -> None:
    made = Recorder(works=3)
    _, role, _ = Process(size=2, threads=3).roles(made.site, made.ownership)
    role.run(made.life)
    assert made.calls[:4] == ["enforce", "load", "warm", "work 0"]
    assert "ready" in made.calls
    assert sorted(call for call in made.calls if call.startswith("runs")) == [
        "runs in worker 0.0",
        "runs in worker 0.1",
        "runs in worker 0.2",
    ]
    assert made.calls.index("ready") < made.calls.index("runs in worker 0.0")


def test_a_front_of_its_own_is_ready_when_it_listens() -> None:
    made = Recorder()
    role, *_ = Process(size=2).roles(made.site, made.ownership)
    role.run(made.life)
    assert made.calls == ["front", "enforce", "ready", "front runs None"]


def test_threads_begin_in_their_own_threads_and_then_the_front_runs() -> None:
    made = Recorder()
    (role,) = Thread(size=2).roles(made.site, made.ownership)
    role.run(made.life)
    assert made.calls[:4] == ["enforce", "load", "warm", "front"]
    assert {"work 0", "work 1", "runs in worker 0", "runs in worker 1"} <= set(made.calls)
    assert max(made.calls.index(f"work {worker}") for worker in range(2)) < made.calls.index("ready")
    assert made.calls.index("ready") < made.calls.index("front runs None")


def test_the_threads_that_share_one_event_set_are_started_with_the_first() -> None:
    made = Recorder(workers=1, front=False, works=3)
    for thread in Starts(made.life, made.ownership, made.site).threads():
        thread.join()
    assert sorted(call for call in made.calls if call.startswith("runs")) == [
        "runs in worker 0",
        "runs in worker 1",
        "runs in worker 2",
    ]


def test_a_worker_that_cannot_begin_is_raised_before_its_role_is_ready() -> None:
    made = Recorder()
    made.fails = True
    (role,) = Thread(size=2).roles(made.site, made.ownership)
    with pytest.raises(ValueError, match="on purpose"):
        role.run(made.life)
    assert "ready" not in made.calls
