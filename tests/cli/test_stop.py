"""poolctl stop: how it shows what a server answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.answering import Make, line
from harness.commands import invoke
from harness.terminal import in_terminal

from poolctl.cli import stop as command

SAYS = [line({"says": f"draining: 3 requests in flight, {number}.0 s of 30 s"}) for number in range(2)]
# The process of these servers is that of the test, so the command waits in vain for its end.
STILL_RUNS = "warning: cake (pid 4711) has stopped serving, but its process still runs\n"


def done(code: int, **result: object) -> bytes:
    return line({"poolctl": 1, "done": True, "exit": code, "result": result})


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "EXIT_SECONDS", 0.01)


@pytest.mark.parametrize(
    ("code", "result", "said"),
    [
        (0, {"exit_code": 0, "seconds": 2.44}, "stopped after 2.4 s; every request was answered"),
        (1, {"exit_code": 1, "seconds": 30}, "stopped after 30.0 s; unfinished requests were cut off"),
        (0, {"exit_code": 143, "seconds": 0, "cut_off": 0}, "stopped at once; no request was in flight"),
        (1, {"exit_code": 143, "seconds": 0, "cut_off": 2}, "stopped at once; 2 requests cut off"),
    ],
)
def test_outcomes(make: Make, code: int, result: dict[str, object], said: str) -> None:
    make("cake", 4711, stop=b"".join(SAYS) + done(code, **result))
    progress = "".join(f"cake: draining: 3 requests in flight, {number}.0 s of 30 s\n" for number in range(2))
    assert invoke("stop", "cake") == (code, f"cake (pid 4711) {said}\n", progress + STILL_RUNS)


def test_a_terminal_has_one_line_of_progress(make: Make, tmp_path: Path) -> None:
    last = line({"poolctl": 1, "done": True, "exit": 1, "error": "the server failed", "fix": "see its log"})
    make("cake", 4711, stop=b"".join(SAYS) + last)
    code, sent = in_terminal("stop", "cake", cwd=tmp_path, columns=40)
    shown = [f"cake: draining: 3 requests in flight, {number}.0 s"[:39] for number in range(2)]
    expected = f"\r{shown[0]}\r{shown[1]}\r{' ' * 39}\rerror: cake (pid 4711): the server\n  failed; see its log\n"
    assert (code, sent) == (1, expected)


def test_a_server_that_says_no_more(make: Make) -> None:
    make("cake", 4711, stop=SAYS[0])
    code, out, err = invoke("stop", "cake")
    assert (code, out) == (1, "")
    assert err.endswith("error: cake (pid 4711): the server ended before it had answered\n")
