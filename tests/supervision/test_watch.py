"""The supervisor's side of the watcher. tests/faults/test_watching.py has what follows from it in real servers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.no_descriptor import no_descriptor
from harness.server import wait_until

from poolctl.runtime.app.refusal_page import RefusalPage
from poolctl.supervision.configuration import Configuration, ExitCode, Review, WatchedFiles
from poolctl.supervision.control import Control
from poolctl.supervision.events import Event, Events
from poolctl.supervision.generation import Generation
from poolctl.supervision.plan import Plan
from poolctl.supervision.reload import Reload
from poolctl.supervision.watch import FileWatch


class OneFolder:
    """A reviewer that knows what to watch, and no more."""

    def __init__(self, folder: Path) -> None:
        self.watched = WatchedFiles((), (str(folder),))

    def explain(self, report: object) -> str:
        return ""

    def review(self) -> Review:
        return Review(ExitCode.DONE)


class Nothing(Configuration):
    name, listeners, drain = "shop", (), 1.0

    def __init__(self, folder: Path) -> None:
        self.reviewer = OneFolder(folder)

    def build(self) -> Plan:
        raise NotImplementedError

    def announce(self) -> None:
        raise NotImplementedError


class ServerOfNothing:
    """As much of a supervisor as a watch needs: one that has no generation yet."""

    name = "shop"
    control: Control
    generation: Generation | None = None
    reload: Reload | None = None
    announced = False

    def __init__(self, folder: Path) -> None:
        self.recorded: list[Event] = []
        self.events = Events(self.recorded.append)
        self.configuration: Configuration = Nothing(folder)

    def withdraw(self, why: str) -> None:
        raise NotImplementedError

    def close_inherited(self) -> None:
        """There is nothing else."""


@pytest.fixture
def server(tmp_path: Path) -> ServerOfNothing:
    (tmp_path / "app.py").write_text("x = 1\n")
    return ServerOfNothing(tmp_path)


@pytest.fixture
def watching(server: ServerOfNothing) -> Iterator[FileWatch]:
    made = FileWatch(server, RefusalPage())
    yield made
    pid: Any = made._process
    made.close()
    if pid:
        os.waitpid(pid, 0)


def test_without_a_page_nothing_is_ever_started(server: ServerOfNothing) -> None:
    watch = FileWatch(server, None)
    watch.turn(0.0)
    assert (watch.on, watch.asks, watch.descriptors, watch.due) == (False, False, [], float("inf"))
    watch.reloaded(ExitCode.REFUSED, "a reason")
    watch.close()


def test_a_change_asks_for_a_reload(watching: FileWatch, tmp_path: Path) -> None:
    watching.turn(0.0)
    assert not watching.asks
    (tmp_path / "app.py").write_text("x = 2\n")

    def asks() -> bool:
        watching.turn(0.0)
        return watching.asks

    wait_until(asks, "the report of the change")


def test_a_refusal_without_a_change_is_for_those_who_asked(
    watching: FileWatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a server that is drained cannot be resumed."""
    watching.reloaded(ExitCode.REFUSED, "a reason")
    assert caplog.records == []


def test_without_a_descriptor_it_tries_again(watching: FileWatch, server: ServerOfNothing) -> None:
    with no_descriptor():
        watching.turn(100.0)
    (event,) = server.recorded
    assert event.text.startswith("cannot fork the watcher: [Errno 24] ")
    assert watching.due == pytest.approx(100.1)
    watching.turn(100.0)
    assert watching.descriptors == []
    watching.turn(100.2)
    assert len(watching.descriptors) == 1
    assert watching.due == float("inf")


def test_one_that_dies_young_again_and_again_comes_back_later(watching: FileWatch, server: ServerOfNothing) -> None:
    delays = []
    for now in range(4):
        watching.turn(now)
        pid = watching._process
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        watching.died({pid: -9}, now)
        delays.append(watching.due - now)
    assert delays == pytest.approx([0, 0, 0.1, 0.2])
    assert [event.where["role"] for event in server.recorded] == ["watcher"] * 4
