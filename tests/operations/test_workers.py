"""`poolctl scale`, `recycle`, `drain` and `resume` with real servers: what they print and exit with, what they change,
and what status and events say of it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.client import Client, get
from harness.commands import poolctl
from harness.ports import quiet_port
from harness.server import Serve, Server, ask, wait_until

NAME = f"w{uuid.uuid4().hex[:8]}"  # of one server for several tests
SECONDS = r"\(\d+\.\d s\)\n"


ASGI = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""


class Workers:
    """A server and the commands that change it."""

    def __init__(self, serve: Serve, folder: Path, pool: dict[str, Any] | None = None, **keys: Any) -> None:
        self.name = f"w{uuid.uuid4().hex[:8]}"  # commands find the servers of other tests too
        self.folder = folder
        self.keys = {"name": self.name, "app": "demo", "pool": pool or {"kind": "process", "size": 2}, **keys}
        self.server: Server = serve(self.keys)

    def run(self, do: str, *words: str) -> subprocess.CompletedProcess[str]:
        return poolctl(do, self.name, *words, cwd=self.folder)

    def does(self, do: str, *words: str, says: str) -> None:
        """A command that succeeds, and what it prints after the name of the server."""
        done = self.run(do, *words)
        assert done.returncode == 0, done
        assert re.fullmatch(rf"{self.name} \(pid {self.server.pid}\): {says}", done.stdout), done.stdout

    def refused(self, do: str, *words: str, says: str, code: int = 1) -> None:
        done = self.run(do, *words)
        assert (done.returncode, done.stdout) == (code, "")
        assert re.fullmatch(says, done.stderr.splitlines()[-1]), done.stderr

    @property
    def numbers(self) -> list[int]:
        return [each["worker"] for each in self.server.status()["workers"]]

    @property
    def pool(self) -> dict[str, Any]:
        return self.server.status()["pool"]  # type: ignore[no-any-return]

    def events(self, kind: str) -> list[dict[str, Any]]:
        done = self.run("events", "--format", "json")
        events = [json.loads(line) for line in done.stdout.splitlines()]
        return [event for event in events if event["kind"] == kind]


@pytest.fixture
def managed(serve: Serve, tmp_path: Path) -> Workers:
    return Workers(serve, tmp_path)


def test_scale_and_what_status_says_of_it(managed: Workers) -> None:
    managed.does("scale", "4", says=f"2 -> 4 workers {SECONDS}")
    assert managed.numbers == [0, 1, 2, 3]
    assert len(managed.server.pids("worker")) == 4
    shown = managed.run("status").stdout
    assert "4 workers, where the topology has 2" in shown
    assert "4 processes" in shown
    managed.does("scale", "4", says="it has 4 workers already\n")
    managed.does("scale", "--", "-1", says=f"4 -> 3 workers {SECONDS}")
    managed.does("scale", "+1", says=f"3 -> 4 workers {SECONDS}")
    managed.does("scale", "1", says=f"4 -> 1 worker {SECONDS}")
    assert managed.numbers == [0]
    managed.does("scale", "auto", says=f"1 -> 2 workers {SECONDS}")
    assert "where the topology has" not in managed.run("status").stdout
    assert (managed.pool["size"], managed.pool["in_file"]) == (2, 2)
    reasons = [event["reason"] for event in managed.events("role-leaves")]
    assert [re.sub(r"pid \d+", "pid", each) for each in reasons] == [
        "scaled to 3 workers (uid 0, pid)", *["scaled to 1 worker (uid 0, pid)"] * 3
    ]  # fmt: skip
    assert managed.server.stop() == 0


@pytest.mark.parametrize(
    ("to", "says"),
    [
        ("many", r"error: 'many' is not a number of workers; use for instance 4, \+2, -1 or auto"),
        ("", r"error: '' is not a number of workers; .*"),
        ("1.5", r"error: '1.5' is not a number of workers; .*"),
        ("٣", r"error: '٣' is not a number of workers; .*"),
        ("0", r"error: a pool has between 1 and 4096 workers, not 0; use stop to end the server"),
        ("99999", r"error: a pool has between 1 and 4096 workers, not 99999; choose fewer"),
        ("-2", r"error: a pool has between 1 and 4096 workers, not 0; use stop to end the server"),
        ("+99999", r"error: a pool has between 1 and 4096 workers, not 100001; .*"),
        ("4097", r"error: a pool has between 1 and 4096 workers, not 4097; .*"),
    ],
)
def test_numbers_that_are_none(serve_once: Serve, tmp_path: Path, to: str, says: str) -> None:
    server = serve_once({"name": NAME, "app": "demo", "pool": {"kind": "process", "size": 2}})
    done = poolctl("scale", NAME, "--", to, cwd=tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(says, done.stderr.strip()), done.stderr
    assert server.status()["pool"]["size"] == 2


def test_scale_beyond_the_numbers_of_a_generation_takes_a_new_one(managed: Workers) -> None:
    with Client(managed.server.port) as kept:
        kept.get()
        done = managed.run("scale", "6")
        assert done.returncode == 0
        assert "this generation has numbers for 4 workers, so a new one is needed" in done.stderr
        assert kept.get().status == 200
    assert re.search(r"generation 2 serves \(0 failed, 0 connections closed, \d+ moved, \d+\.\d s\)", done.stdout)
    assert managed.numbers == [0, 1, 2, 3, 4, 5]
    assert (managed.pool["size"], managed.pool["in_file"]) == (6, 2)
    managed.does("scale", "1", says=f"6 -> 1 worker {SECONDS}")
    managed.does("scale", "auto", says=f"1 -> 2 workers {SECONDS}")
    assert managed.run("reload").returncode == 0
    assert (managed.pool["size"], managed.pool["in_file"]) == (2, 2)
    assert managed.server.stop() == 0


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"pool": {"kind": "thread", "size": 2}}, "its workers are not processes"),
        ({"ownership": "reuse-port"}, "under reuse-port each worker has a listening socket of its own"),
        ({"pool": {"kind": "process", "size": 1}}, "it has only one worker"),
    ],
)
def test_scale_where_only_a_new_generation_can(serve: Serve, tmp_path: Path, keys: dict[str, Any], why: str) -> None:
    fixed = Workers(serve, tmp_path, **keys)
    size = fixed.keys["pool"]["size"]
    done = fixed.run("scale", "4")
    assert done.returncode == 0
    assert f"{why}, so a new one is needed" in done.stderr
    assert fixed.pool["size"] == len(fixed.numbers) == 4
    assert {get(fixed.server.port).status for _ in range(20)} == {200}
    assert fixed.run("scale", str(size)).returncode == 0
    assert fixed.pool["size"] == len(fixed.numbers) == size
    assert fixed.run("scale", str(size)).stdout.endswith(f"it has {size} worker{'s' * (size > 1)} already\n")
    assert fixed.run("recycle").returncode == 0
    if size > 1:  # otherwise the number of workers is not fixed any more
        fixed.refused(
            "drain",
            "--worker",
            "0",
            says=f"error: no worker can be drained: {why}.*; scale, recycle, or drain the whole server",
        )
    assert {get(fixed.server.port).status for _ in range(20)} == {200}
    assert fixed.server.stop() == 0


def test_time_that_passes_goes_back(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import os, time\n"
        "while os.path.exists('hang'):\n"
        "    time.sleep(0.02)\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Length', '2')])\n"
        "    return [b'ok']\n"
    )
    slow = Workers(serve, tmp_path, app={"wsgi": "slow:app"}, preload=False)
    hang = tmp_path / "hang"
    hang.touch()
    slow.refused(
        "scale", "4", "--wait", "200ms", code=3,
        says="error: not done within 0.2 s: 2 of 4 workers ready; back to 2 workers",
    )  # fmt: skip
    wait_until(lambda: slow.pool["size"] == 2, "what it was")
    slow.refused(
        "recycle", "--wait", "200ms", code=3,
        says="error: not done within 0.2 s: 2 of 2 workers ready.* to recycle; it goes on",
    )  # fmt: skip
    hang.unlink()
    wait_until(lambda: not slow.pool["to_recycle"] and not slow.pool["leaving"], "what went on")
    assert slow.pool["ready"] == slow.pool["size"] == len(slow.numbers) == 2
    slow.refused("scale", "3", "--wait", "0s", says="error: wait is not between 0 and 86400 seconds; correct the value")
    done = slow.run("scale", "3", "--wait", "soon")
    assert (done.returncode, "--wait" in done.stderr) == (2, True)
    assert slow.server.stop() == 0


def test_recycle(managed: Workers) -> None:
    before = managed.server.pids("worker")
    managed.does("recycle", "--worker", "0", "--reason", "looks odd", says=f"1 worker recycled {SECONDS}")
    assert len(set(before) & set(managed.server.pids("worker"))) == 1
    (event,) = managed.events("role-leaves")
    assert (event["role"], event["reason"]) == ("worker 0", "looks odd")
    managed.does("recycle", says=f"2 workers recycled {SECONDS}")
    assert not set(before) & set(managed.server.pids("worker"))
    managed.refused("recycle", "--worker", "7", says=r"error: there is no worker 7; the workers are \d, \d")
    assert managed.run("recycle", "--worker", "-1").returncode == 2
    assert managed.server.stop() == 0


def test_a_reason_is_one_short_line(managed: Workers) -> None:
    says = "error: a reason is one line of at most 200 characters; shorten it"
    managed.refused("recycle", "--reason", "x" * 201, says=says)
    managed.refused("recycle", "--reason", "x\n2026-01-01 error", says=says)
    for reason in ("x" * 40_000, "\ud800"):
        (last,) = ask(managed.server.control_socket(), "recycle", reason=reason)
        assert (last["exit"], last["error"]) == (1, says[7:].partition(";")[0])
    managed.does("recycle", "--reason", "ä€😀" * 66, says=f"2 workers recycled {SECONDS}")
    assert managed.server.stop() == 0


def test_drain_and_resume(serve: Serve, tmp_path: Path) -> None:
    three = Workers(serve, tmp_path, {"kind": "process", "size": 3})
    with Client(three.server.port) as busy:
        busy.ask("/sleep?seconds=0.7")
        three.server.wait_until_busy()
        (worker,) = [each["worker"] for each in three.server.status()["workers"] if each["busy_seconds"]]
        says = f"worker {worker} is drained; 2 workers left {SECONDS}"
        three.does("drain", "--worker", str(worker), "--reason", "looks odd", says=says)
        assert busy.answer().status == 200
    assert worker not in three.numbers
    assert three.pool["drained"] == [worker]
    shown = three.run("status").stdout
    assert "2 workers, where the topology has 3" in shown
    assert f"drained: worker {worker}; poolctl resume starts it again" in shown
    three.does("drain", "--worker", str(worker), says=says)  # again
    three.does("resume", says=f"3 workers again {SECONDS}")
    assert worker in three.numbers
    three.does("resume", says="no worker is drained\n")
    three.refused("resume", "--worker", "0", says="error: there is no worker 0; the workers are .*")
    three.does("drain", "--worker", "0", says=rf"worker 0 is drained; 2 workers left {SECONDS}")
    three.does("drain", "--worker", "1", says=rf"worker 1 is drained; 1 worker left {SECONDS}")
    three.refused("drain", "--worker", "2", says="error: worker 2 is the only one")
    assert get(three.server.port).status == 200
    three.does("resume", "--worker", "1", says=f"2 workers again {SECONDS}")
    three.does("resume", says=f"3 workers again {SECONDS}")
    assert "looks odd" in {event["reason"] for event in three.events("role-leaves")}
    assert three.server.stop() == 0


def test_a_worker_that_does_not_leave_is_killed_after_the_time_to_drain(serve: Serve, tmp_path: Path) -> None:
    managed = Workers(serve, tmp_path, timeouts={"drain": "500ms"})
    with Client(managed.server.port) as stuck:
        stuck.ask("/sleep?seconds=60")
        managed.server.wait_until_busy()
        (worker,) = [each["worker"] for each in managed.server.status()["workers"] if each["busy_seconds"]]
        managed.does("drain", "--worker", str(worker), says=rf"worker {worker} is drained; 1 worker left {SECONDS}")
        assert stuck.answer().status == 502
    managed.server.wait_for_log(rf"worker {managed.name} {worker} \(pid \d+\) had not left after 0.5 s; killed")
    assert managed.server.stop() == 0


def test_signals_add_up(managed: Workers) -> None:
    managed.server.signal(signal.SIGTTIN)
    managed.server.wait_for_log(r"scale \(SIGTTIN\) ended after .* with exit code 0: 2 -> 3 workers")
    managed.server.signal(signal.SIGTTOU)
    managed.server.wait_for_log(r"scale \(SIGTTOU\) ended after .* with exit code 0: 3 -> 2 workers")
    for size in (3, 4):
        managed.server.signal(signal.SIGTTIN)
        wait_until(lambda size=size: managed.pool["size"] == size and managed.pool["ready"] == size, f"{size} workers")  # type: ignore[misc]
    with Client(managed.server.port) as busy:  # while it is drained, signals wait
        busy.ask("/sleep?seconds=1")
        managed.server.wait_until_busy()
        (worker,) = [each["worker"] for each in managed.server.status()["workers"] if each["busy_seconds"]]
        thread = threading.Thread(target=lambda: managed.run("drain", "--worker", str(worker)))
        thread.start()
        wait_until(lambda: managed.server.status()["at_work"], "the drain at work")
        for _ in range(9):
            managed.server.signal(signal.SIGTTOU)
            time.sleep(0.02)  # or several would be one
        thread.join()
        busy.answer()
    wait_until(
        lambda: managed.pool["size"] == managed.pool["ready"] == len(managed.server.pids("worker")) == 1, "one worker"
    )
    managed.server.signal(signal.SIGTTOU)
    managed.server.wait_for_log(r"scale \(SIGTTOU\) ended after .* with exit code 1: a pool has between 1 and 4096")
    assert get(managed.server.port).status == 200
    assert managed.server.stop() == 0


def test_one_change_at_a_time(managed: Workers) -> None:
    with Client(managed.server.port) as busy:
        busy.ask("/sleep?seconds=1")
        managed.server.wait_until_busy()
        (worker,) = [each["worker"] for each in managed.server.status()["workers"] if each["busy_seconds"]]
        thread = threading.Thread(target=lambda: managed.run("drain", "--worker", str(worker)))
        thread.start()
        wait_until(lambda: managed.server.status()["at_work"], "the drain at work")
        for words in (("scale", "4"), ("recycle",), ("resume",), ("reload",)):
            done = managed.run(*words)
            assert done.returncode == 1
            assert "drain has been at work for" in done.stderr
        thread.join()
        assert busy.answer().status == 200
    assert managed.server.stop() == 0


def test_a_socket_that_only_tells_changes_nothing(serve: Serve, tmp_path: Path) -> None:
    only = Workers(serve, tmp_path, control="read")
    before = only.server.tree()
    for words in (("scale", "3"), ("recycle",), ("drain", "--worker", "0"), ("resume",)):
        only.refused(*words, says=rf"error: {words[0]} is not allowed by control: read; .*")
    assert only.server.tree() == before
    only.server.signal(signal.SIGTTIN)  # its operator's own
    only.server.wait_for_log(r"2 -> 3 workers")
    assert only.server.stop() == 0


def test_a_reload_goes_back_to_the_file(serve: Serve, tmp_path: Path) -> None:
    managed = Workers(serve, tmp_path, ownership="reuse-port", listen=f"tcp://127.0.0.1:{quiet_port()}")
    (file,) = tmp_path.glob("*.yaml")
    for size in (4, 2, 3):  # under reuse-port too
        file.write_text(yaml.safe_dump(managed.keys | {"pool": {"kind": "process", "size": size}}))
        assert managed.run("reload").returncode == 0
        assert managed.pool["size"] == managed.pool["in_file"] == len(managed.numbers) == size
        found = {get(managed.server.port).process for _ in range(60)}
        assert found == set(managed.server.pids("worker"))
    assert managed.server.stop() == 0


def test_no_such_server(tmp_path: Path) -> None:
    for words in (("scale", "nosuch", "3"), ("recycle", "nosuch"), ("drain", "nosuch"), ("resume", "nosuch")):
        done = poolctl(*words, cwd=tmp_path)
        assert done.returncode == 1
        assert "nosuch" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("ownership", ["half-sync/half-async", "leader/followers", "reuse-port"])
@pytest.mark.parametrize("app", ["demo", {"asgi": "shop:app"}], ids=["wsgi", "asgi"])
def test_connections_that_move_are_spread_over_the_workers(
    serve: Serve, tmp_path: Path, ownership: str, app: Any
) -> None:
    """Three workers have a third each, give or take a half of it, after every change."""
    (tmp_path / "shop.py").write_text(ASGI)
    managed = Workers(serve, tmp_path, app=app, ownership=ownership, pool={"size": 3})
    clients = [Client(managed.server.port) for _ in range(120)]

    def shares() -> list[int]:
        return [each["in_flight"] for each in managed.server.status()["workers"] if each["in_flight"]]

    for client in clients:
        assert client.get().status == 200
    for change in (["reload"], ["recycle", "--worker", "1"], ["recycle"]):
        assert managed.run(*change).returncode == 0, change
        wait_until(lambda: sum(shares()) == len(clients), "all connections")
        assert all(20 <= share <= 60 for share in shares()), (change, shares())
    for client in clients:
        assert client.get().status == 200
        client.close()
    assert managed.server.stop() == 0
