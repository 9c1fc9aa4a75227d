"""Events: what is logged and what is kept, and the ring of the last ones."""

from __future__ import annotations

import json
import logging
import traceback
from datetime import datetime

import pytest

from poolctl.supervision.events import RING_EVENTS, TEXT_CHARACTERS, Event, Events, Kind, Ring, ending, one_line


def kept(ring: Ring) -> list[str]:
    return [event.text for event in ring.since(0)]


def test_one_call_logs_and_keeps(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "poolctl")
    ring = Ring()
    events = Events(ring.add)
    events.record(Kind.ROLE_DIED, "worker 3 died", logging.WARNING, pid=4711, signal="SIGKILL", reason=None)
    events.record(Kind.ROLE_STARTED, "worker 3 started", pid=4712)
    assert [(each.levelname, each.message) for each in caplog.records] == [("WARNING", "worker 3 died")]
    died, started = ring.since(0)
    assert (died.number, started.number) == (1, 2)
    assert died.where == {"pid": 4711, "signal": "SIGKILL"}  # what does not apply is left out


def test_the_ring_keeps_the_last_events_with_their_numbers() -> None:
    ring = Ring()
    for number in range(RING_EVENTS + 5):
        ring.add(Event(Kind.SIGNAL, str(number)))
    assert kept(ring) == [str(number) for number in range(5, RING_EVENTS + 5)]
    assert ring.last == RING_EVENTS + 5
    assert [event.number for event in ring.since(ring.last - 2)] == [ring.last - 1, ring.last]
    assert list(ring.since(ring.last)) == []
    assert len(list(ring.since(3))) == RING_EVENTS  # event 4 and 5 are gone


def test_an_event_as_clients_see_it() -> None:
    shown = Event(Kind.SIGNAL, "SIGHUP ignored", 1_796_000_000.25, {"signal": "SIGHUP"}, 7).shown()
    assert json.loads(json.dumps(shown)) == {
        "number": 7,
        "time": "2026-11-30T00:53:20.250+00:00",
        "kind": "signal",
        "text": "SIGHUP ignored",
        "signal": "SIGHUP",
    }
    assert datetime.fromisoformat(shown["time"]).timestamp() == 1_796_000_000.25


def test_what_a_mold_sends_arrives_with_its_generation() -> None:
    sent = Event(Kind.ROLE_DIED, "worker 3 died", 12.5, {"pid": 1})
    received = Event.received(json.loads(json.dumps(sent.sent())), 4)
    assert received == Event(Kind.ROLE_DIED, "worker 3 died", 12.5, {"generation": 4, "pid": 1})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("one line", "one line"),
        ("\x1b[2J bell\x07\x9b", "[2J bell"),
        ("first\nsecond", "first"),
        ("", ""),
        ("x" * 1000, "x" * (TEXT_CHARACTERS - 3) + "..."),
        ("a \udc80 b", "a \udc80 b"),
    ],
)
def test_a_text_is_one_line_without_control_characters(text: str, line: str) -> None:
    assert one_line(text) == line


def test_of_a_traceback_the_error_is_kept() -> None:
    try:
        raise ValueError("no such table")
    except ValueError:
        text = f"generation 2 failed to start: {traceback.format_exc()}"
    assert one_line(text) == "generation 2 failed to start: ValueError: no such table"


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, {"status": 0}), (3, {"status": 3}), (-9, {"signal": "SIGKILL"}), (-40, {"signal": "signal 40"})],
)
def test_how_a_process_ended(status: int, words: dict[str, object]) -> None:
    assert ending(status) == words
