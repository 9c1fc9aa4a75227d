"""Which descriptors each process holds, from /proc, and how much of a preloaded app its workers share."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from harness.client import Client, get
from harness.server import Serve, wait_until

from faults.models import MODELS, begin, models

LISTENING = "0A"  # of /proc/net/tcp


def listeners(port: int) -> set[str]:
    """The inodes of the sockets that listen on a port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[3] == LISTENING and int(row[1].partition(":")[2], 16) == port}


def held(pid: int, port: int) -> dict[str, int]:
    """How many descriptors of each kind a process holds beyond stdin, stdout, stderr and the log's copy of that."""
    own, kinds = listeners(port), Counter[str]()
    log = os.readlink(f"/proc/{pid}/fd/2")
    for name in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{name}")
        if int(name) <= 2 or target == log:
            continue
        kind, _, inode = target.partition(":")
        if kind == "socket":
            kind = "listener" if inode.strip("[]") in own else "socket"
        elif target.startswith("anon_inode"):
            kind = target.partition(":")[2].strip("[]")
        kinds[kind] += 1
    return dict(kinds)


# Every role: the lifeline and the presence. Every loop of epoll: the pipe by which its threads learn of its end.
# A worker has the lifeline of the front too, by which it hears at once that the server stops, and a pipe that makes it
# leave; a front has one more, by which a thread gives new values to its loop. Everybody: a socket for what the mold
# says, both ends of the channel by which connections move, and the memory that says whether they may.
ROLE = {"/memfd": 1}
LOOP = {**ROLE, "pipe": 4, "eventpoll": 1}
WORKER = {**LOOP, "pipe": 6}
EXPECTED: dict[str, dict[str, dict[str, int]]] = {
    # An inbox of all to read, a poller to wait for it, and what ends that wait; three ways back: two pipes, and a
    # socket for files. No listener.
    "hshr-processes": {
        "front": {**LOOP, "pipe": 8, "listener": 1, "socket": 6},
        "worker": {**ROLE, "pipe": 6, "socket": 5, "eventpoll": 1, "eventfd": 1},
    },
    # The front writes to an inbox, and reads what turns were taken and who died; a worker has no listener.
    "hsha-front-processes": {
        "front": {**LOOP, "pipe": 7, "listener": 1, "socket": 5},
        "worker": {**WORKER, "socket": 4},
    },
    # As above, but a worker accepts and tells so.
    "hsha-worker-processes": {
        "front": {**LOOP, "pipe": 7, "listener": 1, "socket": 5},
        "worker": {**WORKER, "pipe": 7, "listener": 1, "socket": 4},
    },
    "lf-processes": {"worker": {**WORKER, "listener": 1, "socket": 3}},
    # One listener of its own; not those of the others.
    "reuse-port": {"worker": {**WORKER, "listener": 1, "socket": 3}},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_process_holds_the_descriptors_that_its_model_asks_for_and_no_other(serve_typed: Serve, name: str) -> None:
    _, server = begin(serve_typed, name)
    port = server.port
    for _ in range(8):
        assert get(port).status == 200
    for role, expected in EXPECTED[name].items():
        pids = server.pids(role)
        assert len(pids) == (1 if role == "front" else 4)
        for pid in pids:  # a front closes its end of a connection that is over when it is awake the next time
            wait_until(lambda pid=pid, expected=expected: held(pid, port) == expected, f"{expected} in a {role}")  # type: ignore[misc]


def test_workers_of_reuse_port_hold_different_listeners(serve_typed: Serve) -> None:
    model, server = begin(serve_typed, "reuse-port")
    for pid in model.workers(server):  # one that has just said that it is ready closes the way it said it
        wait_until(lambda pid=pid: held(pid, server.port) == EXPECTED["reuse-port"]["worker"], "a listener each")  # type: ignore[misc]
    inodes = []
    for pid in model.workers(server):
        links = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        inodes += [link[8:-1] for link in links if link[8:-1] in listeners(server.port)]
    assert sorted(inodes) == sorted(listeners(server.port))
    assert len(inodes) == 4


@pytest.mark.parametrize("name", EXPECTED)
def test_a_connection_is_where_the_model_says(serve_typed: Serve, name: str) -> None:
    """Kept ones, after an answer: under half-sync/half-reactive in the front, else in the worker that answered."""
    model, server = begin(serve_typed, name)
    for role, expected in EXPECTED[name].items():
        for pid in server.pids(role):  # as above
            wait_until(lambda pid=pid, expected=expected: held(pid, server.port) == expected, f"{expected} in a {role}")  # type: ignore[misc]
    before = {pid: held(pid, server.port).get("socket", 0) for pid in server.tree()}
    with Client(server.port) as client:
        answered = client.get("/pid").process
        owner = server.pids("front")[0] if model.lends else answered
        after = {pid: held(pid, server.port).get("socket", 0) for pid in server.tree()}
        assert {pid: after[pid] - count for pid, count in before.items() if after[pid] != count} == {owner: 1}


@models(MODELS)
def test_supervisor_and_mold_hold_no_connection(serve_typed: Serve, name: str) -> None:
    _, server = begin(serve_typed, name)
    pids = [server.pid, *server.pids("mold")]
    before = [held(pid, server.port) for pid in pids]
    with Client(server.port) as client:
        assert client.get().status == 200
        assert [held(pid, server.port) for pid in pids] == before


@pytest.mark.parametrize("name", ["hshr-processes", "hsha-front-processes", "hsha-worker-processes", "lf-threads"])
def test_no_descriptor_is_left_behind_by_clients_and_deaths(serve_typed: Serve, name: str) -> None:
    model, server = begin(serve_typed, name, 2)
    before = Counter[str]()
    for pid in server.tree():
        before += Counter(held(pid, server.port))
    for number in range(60):
        with Client(server.port) as client:
            if number % 3 == 0:
                client.ask("/bytes?count=2000000")  # and leaves without reading
            elif number % 3 == 1:
                client.send(b"GET / HT")
            else:
                assert client.get().status == 200
        if model.processes and number in (20, 40):
            os.kill(model.workers(server)[0], 9)
            server.wait_for_log("restarting", number // 20)
    assert get(server.port).status == 200

    def same() -> bool:
        now = Counter[str]()
        for pid in server.tree():
            now += Counter(held(pid, server.port))
        return now == before

    wait_until(same, "the end of all connections")


APP = """
import os
data = [bytes([n % 251]) * 1000 for n in range(100_000)]

def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "2"), ("X-Process", str(os.getpid()))])
    return [b"ok"]
"""


def pss(pids: list[int]) -> int:
    """Proportional resident bytes: what n processes share counts 1/n for each."""
    total = 0
    for pid in pids:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024
    return total


@pytest.mark.parametrize("preload", [True, False])
def test_workers_share_what_was_preloaded(serve_typed: Serve, tmp_path: Path, preload: bool) -> None:
    (tmp_path / "large.py").write_text(APP)
    topology = MODELS["hshr-processes"].topology(8, preload=preload, app={"wsgi": "large:application"})
    server = serve_typed(topology, path=tmp_path)
    seen = set()
    for _ in range(100):
        seen.add(get(server.port).process)
    workers = server.pids("worker")
    assert len(workers) == 8
    assert seen <= set(workers)
    megabytes = round(pss(workers) / 1e6)
    print(f"summed PSS of 8 workers of an app of 100 MB, preload {preload}: {megabytes} MB")  # noqa: T201  # the figure is for whoever runs this test with -s
    assert megabytes < 200 if preload else megabytes > 700
