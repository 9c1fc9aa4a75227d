"""Apps that fork: a child of theirs holds no client, no listening socket and no event set, and no stop waits for it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client, get
from harness.machine import within
from harness.server import Serve, alive, wait_until

from faults.models import ALL, models

TICKS = os.sysconf("SC_CLK_TCK")
NAMES = (
    "hshr-processes", "hshr-threads", "hshr-hybrid", "hsha-front-processes", "hsha-worker-processes", "lf-processes",
    "lf-threads", "lf-hybrid", "reuse-port", "lf-threads-selectors",
)  # fmt: skip
AWAITED = ("hshr-processes", "hshr-threads", "hsha-front-processes", "lf-processes", "reuse-port")


def open_sockets(pid: int, port: int = 0) -> list[str]:
    """The sockets and event sets that a process holds; with a port only those of its listeners and connections, for an
    event loop has a pair and an event set of its own."""
    found = []
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = {f"socket:[{row[9]}]" for row in rows if int(row[1].partition(":")[2], 16) == port}
    for name in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{name}")
        if target in ours or (not port and (target.startswith("socket:") or "eventpoll" in target)):
            found.append(target)
    return found


def listened(port: int) -> bool:
    """Whether a socket listens at this port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[3] == "0A" and row[1].endswith(f":{port:04X}") for row in rows)


def used(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@cache
def semaphores() -> bool:
    """Whether multiprocessing.Pool finds its semaphores here: they need a /dev/shm that can be written, which a
    container with a read-only root may lack."""
    try:
        multiprocessing.get_context("fork").Lock()
    except OSError:
        return False
    return True


def ask_for(port: int, way: str) -> int:
    """Have a child started on a connection that stays open until it has answered; its pid. The end comes at once."""
    with Client(port) as client:
        client.ask(f"/?way={way}", close=True)
        pid = int(client.answer().body)
        assert client.at_end()
    return pid


def serve_forking(serve: Serve, name: str, app: dict[str, Any], **more: Any) -> Any:
    model = ALL[name]
    return serve({**model.topology(2, **more), "app": app}, environment=model.environment)


@pytest.mark.parametrize("app", ["wsgi", "asgi"])
@models(NAMES, NAMES)
def test_a_child_of_the_app_holds_nothing_of_the_server(serve: Serve, name: str, app: str) -> None:
    if app == "asgi" and name not in AWAITED:
        pytest.skip("an application that is awaited has one thread")
    target = "forking:application" if app == "wsgi" else "forking:asgi"
    server = serve_forking(
        serve, name, {app: target}, **({"affinity": "connection"} if (app, name) == ("asgi", "lf-threads") else {})
    )
    with Client(server.port) as neighbour:
        assert neighbour.get().status == 200
        children = [ask_for(server.port, way) for way in ("child", "raw", "pool") if way != "pool" or semaphores()]
        for pid in children:
            if alive(pid):  # that of a pool may be gone with its worker's interest
                wait_until(
                    lambda pid=pid: not open_sockets(pid, app == "asgi" and server.port), f"the hook in process {pid}"
                )  # type: ignore[misc]
        assert neighbour.get().status == 200
        busy = {pid: used(pid) for pid in server.tree()}
        with Client(server.port) as another:
            for _ in range(20):
                assert another.get().status == 200
            assert another.get(close=True).status == 200
            assert another.at_end()
        wait_until(lambda: all_idle(server.tree()), "processes that sleep")
        assert sum(used(pid) - busy.get(pid, 0) for pid in server.tree()) <= within(1), "a loop spins"
    assert server.stop() == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), 1)
    for pid in children:
        wait_until(lambda pid=pid: not alive(pid), f"the end of child {pid}")  # type: ignore[misc]


def all_idle(pids: list[int]) -> bool:
    """Whether none of them is running at this moment, looked at several times: one that spins hardly ever sleeps."""
    states = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in pids for _ in range(5)]
    return set(states) == {"S"}


@models(
    ("hshr-processes", "hsha-front-processes", "lf-threads"), ("hshr-processes", "hsha-front-processes", "lf-threads")
)
def test_a_child_that_returns_into_the_server_ends_there(serve: Serve, name: str) -> None:
    server = serve_forking(serve, name, {"wsgi": "forking:application"})
    pid = ask_for(server.port, "returning")
    assert not alive(pid)
    assert get(server.port).status == 200
    assert server.stop() == 0


def test_a_program_that_inherits_what_it_may_has_no_connection(serve: Serve) -> None:
    server = serve_forking(serve, "hshr-processes", {"wsgi": "forking:application"})
    with Client(server.port) as client:
        client.ask("/?way=program")
        pid = int(client.answer().body)
        assert open_sockets(pid) == []
        client.ask("/", close=True)
        client.answer()
        assert client.at_end()
    assert server.stop() == 0


POOL = """
import multiprocessing, os
context = multiprocessing.get_context("fork")
helper = context.{made}
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@pytest.mark.parametrize("made", ["Pool(1)", "Manager()"])
@pytest.mark.parametrize("name", ["hshr-processes", "reuse-port"])
def test_helpers_that_a_preloaded_app_makes_when_it_is_imported_end_with_it(
    serve: Serve, tmp_path: Path, name: str, made: str
) -> None:
    if made == "Pool(1)" and not semaphores():
        pytest.skip("multiprocessing.Pool needs semaphores, and /dev/shm cannot be written here")
    (tmp_path / "helped.py").write_text(POOL.format(made=made))
    model = ALL[name]
    server = serve({**model.topology(2, preload=True), "app": {"wsgi": "helped"}}, path=tmp_path)
    assert get(server.port).body == b"ok"
    tree = server.tree()
    assert server.stop() == 0
    for pid in tree:
        wait_until(lambda pid=pid: not alive(pid), f"the end of process {pid}")  # type: ignore[misc]


@models(("hshr-processes", "hsha-front-processes", "lf-processes"), ("hshr-processes", "lf-processes"))
def test_when_the_supervisor_is_killed_a_child_of_the_app_does_not_keep_the_address(serve: Serve, name: str) -> None:
    server = serve_forking(serve, name, {"wsgi": "forking:application"})
    port = server.port
    pid = ask_for(port, "raw")
    others = [each for each in server.tree() if each not in (pid, server.pid)]
    os.kill(server.pid, signal.SIGKILL)
    for each in others:
        wait_until(lambda each=each: not alive(each), f"the end of process {each}")  # type: ignore[misc]
    wait_until(lambda: not listened(port), "the end of listening")  # the last thread of a process may take longer
    again = socket.create_server(("127.0.0.1", port))
    again.close()
