"""What streams in a drain is ended once its time is over, and nothing else is."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import pytest

from poolctl.runtime.listen.streams import LEAST_PAUSE_SECONDS, Streams
from poolctl.runtime.loop.loop import SWEEP_SECONDS


class Handler:
    """With streams that a test begins and ends."""

    def __init__(self, *streams: str, busy: bool = False) -> None:
        self.open = list(streams)
        self.busy = busy
        self.cut: list[str] = []
        self.dropped: list[str] = []

    def streams(self) -> Sequence[Hashable]:
        return list(self.open)

    def cut_stream(self, stream: Any, service: Any) -> bool:
        self.cut.append(stream)
        return not self.busy

    def drop_stream(self, stream: Any) -> None:
        self.dropped.append(stream)


class Listener:
    """A handler without any."""


class Loop:
    def __init__(self, *handlers: Any) -> None:
        self.handlers: dict[int, Any] = dict(enumerate(handlers))
        self.failed: list[tuple[Any, BaseException]] = []

    def fail(self, handler: Any, service: Any, error: BaseException) -> None:
        self.failed.append((handler, error))


def test_each_stream_has_its_time_from_the_look_that_finds_it() -> None:
    handler = Handler("early", "brief")
    loop, streams = Loop(Listener(), handler), Streams[None](5.0)
    streams.look(loop, 100.0, None)
    handler.open = ["early", "late"]
    streams.look(loop, 103.0, None)
    streams.look(loop, 105.0, None)
    assert handler.cut == []
    streams.look(loop, 105.5, None)
    assert handler.cut == ["early"]
    handler.open.remove("early")
    streams.look(loop, 108.5, None)
    assert handler.cut == ["early", "late"]


def test_streams_of_several_handlers_are_not_confused() -> None:
    one, two = Handler("same"), Handler()
    loop, streams = Loop(one, two), Streams[None](5.0)
    streams.look(loop, 100.0, None)
    one.open, two.open = [], ["same"]
    streams.look(loop, 106.0, None)
    assert (one.cut, two.cut) == ([], [])


def test_one_that_cannot_be_ended_now_is_tried_again() -> None:
    handler = Handler("one", busy=True)
    loop, streams = Loop(handler), Streams[None](5.0)
    for now in (100.0, 106.0, 106.5):
        streams.look(loop, now, None)
    assert handler.cut == ["one", "one"]
    assert handler.dropped == []


def test_one_that_goes_on_although_it_was_cut_is_dropped_a_little_later() -> None:
    handler = Handler("deaf")
    loop, streams = Loop(handler), Streams[None](5.0)
    for now in (100.0, 106.0, 106.0 + SWEEP_SECONDS / 2):
        streams.look(loop, now, None)
    assert handler.dropped == []
    streams.look(loop, 106.0 + SWEEP_SECONDS, None)
    assert (handler.cut, handler.dropped) == (["deaf"], ["deaf"])


@pytest.mark.parametrize("method", ["streams", "cut_stream", "drop_stream"])
def test_one_that_raises_is_failed_alone(method: str) -> None:
    broken, sound = Handler("broken"), Handler("sound")
    loop, streams = Loop(broken, sound), Streams[None](5.0)

    def raises(*_: Any) -> Any:
        raise KeyboardInterrupt

    setattr(broken, method, raises)
    for now in (100.0, 106.0, 107.0):
        streams.look(loop, now, None)
    assert {handler for handler, _ in loop.failed} == {broken}
    assert (sound.cut, sound.dropped) == (["sound"], ["sound"])


@pytest.mark.parametrize(("limit", "pause"), [(0.001, LEAST_PAUSE_SECONDS), (2.0, 0.1), (3600.0, SWEEP_SECONDS)])
def test_looks_are_as_close_as_the_limit_asks_for(limit: float, pause: float) -> None:
    assert Streams[None](limit).pause == pytest.approx(pause)


def test_a_loop_that_sweeps_often_looks_as_often_as_the_limit_asks_for() -> None:
    looks: list[str] = []

    class Counted(Handler):
        def streams(self) -> Sequence[Hashable]:
            looks.append("look")
            return []

    loop, streams = Loop(Counted()), Streams[None](3600.0)
    for number in range(100):
        streams.look(loop, 100.0 + number / 100, None)
    assert len(looks) == 4
