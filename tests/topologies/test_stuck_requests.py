"""A request that takes too long, among others that must not notice: its process is replaced, then ended, and the log
says what it was doing."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest
from harness.client import Client, get
from harness.forms import short
from harness.load import Load
from harness.server import Serve, Server, wait_until

STUCK: dict[str, Any] = {"app": {"wsgi": "stuck:answer"}, "timeouts": {"request": "500ms"}}
FRONT, LEADER = "half-sync/half-reactive", "leader/followers"
LENDS: dict[str, dict[str, Any]] = {
    "processes": {"pool": {"kind": "process", "size": 2}},
    "processes with threads": {"pool": {"kind": "process", "size": 2, "threads": 3}},
    "one process with threads": {"pool": {"kind": "process", "size": 1, "threads": 3}},
}
OWNS: dict[str, dict[str, Any]] = {
    "processes with threads, leader/followers": {**LENDS["processes with threads"], "ownership": LEADER},
    "processes with threads, reuse-port": {**LENDS["processes with threads"], "ownership": "reuse-port"},
    "threads, half-sync/half-reactive": {"pool": {"kind": "thread", "size": 3}, "ownership": FRONT},
    "threads, leader/followers": {"pool": {"kind": "thread", "size": 3}, "ownership": LEADER},
}
STACK = r"most recent call last:\n(  File .*stuck.py.*, in answer\n.*\n  File .*stuck.py.*, in deep_inside\n.*\n)"
UNFINISHED = r"unfinished: worker \S+ has been busy for [\d.]+ s with GET /hang\?a=1; its stack, " + STACK


def is_whole(server: Server) -> bool:
    """Whether every worker that there shall be serves, and nothing else is left."""
    status = server.status()
    pool = status["pool"]
    return pool["ready"] == pool["size"] and not pool["leaving"] and not pool["to_recycle"] and not status["retiring"]


def one_is_stuck(server: Server, load: Load) -> bytes:
    """What the client of a stuck request gets, while others are served."""
    with load, Client(server.port) as hung:
        hung.ask("/hang?a=1")
        got = hung.until_end()
        wait_until(lambda: is_whole(server), "the pool at its size")
        answered = load.answers
        wait_until(lambda: load.answers > answered + 50, "answers afterwards")
    assert load.failures == []
    return got


def assert_is_told_once(server: Server) -> None:
    server.wait_for_log(UNFINISHED)
    assert len(re.findall("unfinished:", server.log)) == 1, server.log
    assert len(re.findall("on a request .timeouts.request: 0.5 s.;", server.log)) == 1, server.log


@pytest.mark.parametrize("name", LENDS)
def test_a_front_answers_for_a_worker_that_is_stuck(serve: Serve, name: str) -> None:
    server = serve({**STUCK, **LENDS[name]})
    assert b" 504 " in one_is_stuck(server, Load(server.port, idle=1))
    assert_is_told_once(server)
    assert server.stop() == 0


@pytest.mark.parametrize("name", OWNS)
def test_a_connection_ends_with_its_stuck_process_and_no_other_does(serve: Serve, name: str) -> None:
    server = serve({**STUCK, **OWNS[name]})
    assert one_is_stuck(server, Load(server.port, idle=1)) == b""
    assert_is_told_once(server)
    assert server.stop() == 0


def test_connections_of_a_stuck_thread_end_with_it(serve: Serve) -> None:
    """Under half-sync/half-async a thread has connections of its own, which nobody else can serve."""
    server = serve({**STUCK, "pool": {"kind": "thread", "size": 1}, "ownership": "half-sync/half-async"})
    with Client(server.port) as hung, Client(server.port) as behind:
        assert behind.get().status == 200
        hung.ask("/hang?a=1")
        server.wait_until_busy()
        behind.ask("/")
        assert hung.until_end() == behind.until_end() == b""
        wait_until(lambda: is_whole(server), "the pool at its size")
    assert_is_told_once(server)
    assert get(server.port).status == 200
    assert server.stop() == 0


@pytest.mark.parametrize("name", ["processes with threads", "threads, leader/followers"])
def test_the_other_requests_of_the_process_are_finished_first(serve: Serve, name: str) -> None:
    """As many as there are other threads, so that some are in the process of the stuck one. They begin so late that
    they are not overdue when that is."""
    models = {**LENDS, **OWNS}
    server = serve({**STUCK, **models[name], "timeouts": {"request": "3s"}})
    count = 5 if name in LENDS else 2
    with Client(server.port) as hung, contextlib.ExitStack() as stack:
        others = [stack.enter_context(Client(server.port)) for _ in range(count)]
        hung.ask("/hang?a=1")
        wait_until(lambda: max(each["busy_seconds"] for each in server.status()["workers"]) > 2, "2 s of hanging")
        for other in others:
            other.ask("/later?1.5")
        server.wait_for_log("; replacing it")
        assert [other.answer().status for other in others] == [200] * count
        hung.until_end()
    server.wait_for_log(UNFINISHED)
    assert server.stop() == 0


def test_a_process_whose_threads_are_all_stuck_is_ended_at_once(serve: Serve) -> None:
    server = serve({**STUCK, "pool": {"kind": "process", "size": 1, "threads": 2}})
    with Client(server.port) as first, Client(server.port) as second:
        first.ask("/hang?a=1")
        second.ask("/hang?a=1")
        assert first.answer().status == second.answer().status == 504
    server.wait_for_log(UNFINISHED, 2)
    server.wait_for_log(r"spent [\d.]+ s on a request \(timeouts.request: 0.5 s\); killed")
    assert get(server.port).status == 200
    assert server.stop() == 0


def test_code_that_holds_the_interpreter_is_ended_with_its_bare_stack(serve: Serve) -> None:
    server = serve({**STUCK, "pool": {"kind": "process", "size": 2}})
    with Client(server.port) as hung:
        hung.ask("/held")
        assert hung.answer().status == 504
    server.wait_for_log(r"most recent call first\):\n(  File .*\n)*  File .*stuck.py., line \d+ in answer")
    assert "unfinished:" not in server.log
    assert get(server.port).status == 200
    assert server.stop() == 0


DRAIN = {"timeouts": {"drain": "500ms"}}


@pytest.mark.parametrize("name", short({**LENDS, **OWNS}, ["processes", "threads, half-sync/half-reactive"]))
def test_a_stop_that_runs_out_of_time_says_what_was_left(serve: Serve, name: str) -> None:
    server = serve({**STUCK, **{**LENDS, **OWNS}[name], **DRAIN})
    with Client(server.port) as hung:
        hung.ask("/hang?a=1")
        server.wait_until_busy()
        assert server.stop() == 1
    assert len(re.findall(UNFINISHED, server.log)) == 1, server.log


@pytest.mark.parametrize(
    ("ownership", "path", "function"),
    [("reuse-port", "/hang", "in_a_task"), ("reuse-port", "/block", "deep_inside"), (FRONT, "/hang", "in_a_task")],
)
def test_a_stop_says_what_tasks_were_left(serve: Serve, ownership: str, path: str, function: str) -> None:
    pool = {"kind": "process", "size": 1}
    server = serve({"app": {"asgi": "stuck:answer_async"}, "pool": pool, "ownership": ownership, **DRAIN})
    with Client(server.port) as hung:
        hung.ask(path)
        server.wait_until_busy()
        assert server.stop() == 1
    unfinished = rf"unfinished: worker 0 has been busy for [\d.]+ s with GET {path} HTTP/1.1; its stack"
    found = re.findall(unfinished, server.log)
    assert len(found) == 1, server.log
    assert f", in {function}" in server.log


@pytest.mark.parametrize("ownership", ["reuse-port", FRONT])
def test_a_cancelled_task_says_where_it_was(serve: Serve, ownership: str) -> None:
    pool = {"kind": "process", "size": 1}
    server = serve({**STUCK, "app": {"asgi": "stuck:answer_async"}, "pool": pool, "ownership": ownership})
    with Client(server.port) as hung:
        hung.ask("/hang")
        assert hung.answer().status == 504
    server.wait_for_log(r"cancelled; its stack, most recent call last:\n(.*\n)*?  File .*, in never\n.*asyncio.sleep")
