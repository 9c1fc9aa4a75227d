"""poolctl events: how it shows what a server answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harness.answering import Make, line
from harness.commands import invoke
from harness.terminal import in_terminal

DIED = "worker cake 3 (pid 4711) was killed by SIGKILL after 2.1 s; restarting now"
EVENTS = [
    {"number": 1, "time": "2026-11-29T01:02:03.456+00:00", "kind": "server-started", "text": "cake \x1b[2J started"},
    {"number": 2, "time": "2026-11-29T01:02:04.000+00:00", "kind": "role-died", "text": DIED, "pid": 4711},
]
LINES = b"".join(line({"event": event}) for event in EVENTS)
DONE = line({"poolctl": 1, "done": True, "exit": 0, "result": {}})


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC0")


def test_lines_for_people_have_no_control_characters(make: Make) -> None:
    make("cake", 4711, events=LINES + DONE)
    code, out, err = invoke("events", "cake")
    assert (code, err) == (0, "")
    assert out == f"2026-11-29 01:02:03  cake \N{REPLACEMENT CHARACTER}[2J started\n2026-11-29 01:02:04  {DIED}\n"


def test_json_has_an_object_on_each_line(make: Make) -> None:
    make("cake", 4711, events=LINES + DONE)
    code, out, _ = invoke("events", "cake", "--format", "json")
    assert code == 0
    assert [json.loads(each) for each in out.splitlines()] == EVENTS


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (120, [f"2026-11-29 01:02:04  {DIED}"]),
        (80, ["2026-11-29 01:02:04  worker cake 3 (pid 4711) was killed by SIGKILL after 2.1 s;",
              "                     restarting now"]),
        (40, ["2026-11-29 01:02:04  worker cake 3 (pid", "  4711) was killed by SIGKILL after 2.1",
              "  s; restarting now"]),
    ],
)  # fmt: skip
def test_long_lines_are_wrapped_to_the_terminal(make: Make, tmp_path: Path, columns: int, shown: list[str]) -> None:
    make("cake", 4711, events=line({"event": EVENTS[1]}) + DONE)
    assert in_terminal("events", "cake", cwd=tmp_path, columns=columns) == (0, "\n".join(shown) + "\n")


def test_the_end_of_a_followed_server(make: Make) -> None:
    make("cake", 4711, events=LINES + line({"poolctl": 1, "done": True, "exit": 0, "result": {"stopped": True}}))
    code, out, err = invoke("events", "cake", "-f")
    assert (code, err) == (0, "cake (pid 4711) has ended\n")
    assert len(out.splitlines()) == 2


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (LINES, "the server ended before it had answered"),
        (line({"poolctl": 1, "done": True, "exit": 1, "error": "8 clients follow", "fix": "end one"}),
         "8 clients follow; end one"),
    ],
)  # fmt: skip
def test_errors(make: Make, reply: bytes, error: str) -> None:
    make("cake", 4711, events=reply)
    code, _, err = invoke("events", "cake", "--follow")
    assert (code, err) == (1, f"error: cake (pid 4711): {error}\n")
