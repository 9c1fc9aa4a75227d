"""Workers that come and go under load: no request fails, no connection is closed, and nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from harness.certificate import certified
from harness.client import Client
from harness.forms import short
from harness.load import Load
from harness.memory import resident
from harness.server import PATIENCE, Serve, Server, alive, ask, at_rest, wait_until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from faults.models import ALL, HSHR, Model

PUSHED = Model("process", {"use": HSHR}, "least-loaded")
COMING = {name: model for name, model in ALL.items() if model.processes} | {
    "hshr-pushed": PUSHED,
    "hshr-pushed-hybrid": Model("process", {"use": HSHR}, "round-robin", "client", threads=2),
}
ASYNC = ("hshr-processes", "hshr-pushed", "hsha-front-processes", "hsha-worker-processes", "lf-processes", "reuse-port")
KINDS = {name: (model, {}) for name, model in COMING.items()} | {
    f"{name}-asgi": (COMING[name], {"app": {"asgi": "coming:app"}}) for name in ASYNC
}
THREADS = [name for name, model in ALL.items() if not model.processes and not name.endswith("selectors")]
KINDS_AND_THREADS = KINDS | {name: (ALL[name], {}) for name in THREADS}
CHANGING = [name for name, (model, _) in KINDS.items() if model.ownership["use"] != "reuse-port"]


def begun(serve: Serve, name: str, size: int, **more: Any) -> Server:
    model, keys = KINDS_AND_THREADS[name]
    return serve(model.topology(size, **keys, **more), environment=model.environment)


def asked(server: Server, do: str, **arguments: Any) -> dict[str, Any]:
    """The result of a command that must succeed."""
    last = ask(server.control_socket(), do, **arguments)[-1]
    assert last["exit"] == 0, (last, server.log)
    return last["result"]  # type: ignore[no-any-return]


def memory(server: Server) -> int:
    """KiB of those that stay."""
    return sum(resident(pid) for pid in staying(server))


def staying(server: Server) -> list[int]:
    """The processes that stay while workers come and go."""
    return [server.pid, *server.pids("mold"), *server.pids("front")]


def counted(server: Server) -> tuple[int, list[int]]:
    """Processes, and the descriptors of those that stay, once they sleep. A front learns of the last connections that
    came back when something wakes it."""
    Client(server.port).close()
    wait_until(lambda: all(at_rest(pid) for pid in staying(server)), "processes that sleep")
    return len(server.tree()), [len(os.listdir(f"/proc/{pid}/fd")) for pid in staying(server)]


def held(server: Server) -> tuple[int, list[int]]:
    """What may not grow, when it does not change any more."""
    wait_until(lambda: len(server.pids("mold")) == 1, "the end of earlier molds")
    seen = [counted(server)]

    def same() -> bool:
        seen.append(counted(server))
        return seen[-1] == seen[-2]

    wait_until(same, "the same twice")
    return seen[-1]


@pytest.mark.parametrize("name", short(CHANGING, ("hshr-processes", "hshr-pushed-hybrid", "hsha-front-processes-asgi")))
def test_nobody_notices_workers_that_come_and_go(name: str, serve: Serve) -> None:
    server = begun(serve, name, 2)
    asked(server, "scale", to="4")
    asked(server, "scale", to="2")
    before = held(server)
    with Load(server.port) as load:
        for size in (4, 1, 3, 2):
            asked(server, "scale", to=str(size))
            load.goes_on(20)
        asked(server, "recycle")
        asked(server, "drain", worker=server.status()["workers"][0]["worker"])
        load.goes_on(20)
        asked(server, "resume")
        load.goes_on(20)
    assert load.failures == []
    assert held(server) == before
    assert server.stop() == 0


@pytest.mark.parametrize("name", ["lf-processes", "hsha-front-processes", "hshr-processes"])
def test_the_workers_that_stay_have_room_for_the_connections_of_all(name: str, serve: Serve) -> None:
    """Each has its part of limits.connections, which is larger with fewer workers, and smaller with more."""
    server = begun(serve, name, 4, limits={"connections": 40})
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(Client(server.port)) for _ in range(8)]
        assert all(client.get().status == 200 for client in idle)
        asked(server, "scale", to="1")
        more = [stack.enter_context(Client(server.port)) for _ in range(32)]
        assert all(client.get().status == 200 for client in [*more, *idle])
        with Client(server.port) as beyond:
            assert beyond.get().status == 503
        asked(server, "scale", to="4")
        assert all(client.get().status == 200 for client in [*more, *idle])
    assert server.stop() == 0


SLOW = ("hshr-processes", "hshr-pushed", "hshr-pushed-hybrid", "hsha-front-processes", "lf-processes")


class Starting:
    """A server whose next workers hang, raise or exit when they import the app."""

    def __init__(self, serve: Serve, name: str, folder: Path, size: int = 2, drain: float = 30.0) -> None:
        self.file = folder / "starts"
        model, _ = KINDS[name]
        topology = model.topology(size, timeouts={"drain": drain}, preload=False)
        environment = {**model.environment, "SLOW_START": str(self.file)}
        self.server = serve(topology | {"app": {"wsgi": "slow:app"}}, environment=environment, tracebacks=True)

    def next_ones(self, do: str) -> None:
        self.file.write_text(do)

    def order(self, do: str, **arguments: Any) -> tuple[int, str]:
        last = ask(self.server.control_socket(), do, **arguments)[-1]
        return last["exit"], last.get("error") or last["result"]["text"]

    def settled(self) -> None:
        """Wait until nothing is under way."""

        def nothing() -> bool:
            pool = self.server.status()["pool"]
            return bool(pool["ready"] == pool["size"] and not pool["leaving"] and not pool["to_recycle"])

        wait_until(nothing, "the end of what is under way")


@pytest.mark.parametrize("name", short(SLOW, ("hshr-processes", "hshr-pushed-hybrid")))
def test_workers_that_start_leave_as_soon_as_they_can(name: str, serve: Serve, tmp_path: Path) -> None:
    starting = Starting(serve, name, tmp_path)
    server = starting.server
    with Load(server.port) as load:
        starting.next_ones("hang")
        code, text = starting.order("scale", to="4", wait=0.3)
        assert (code, text) == (3, "not done within 0.3 s: 2 of 4 workers ready; back to 2 workers")
        assert len(server.tree()) > 4
        starting.next_ones("serve")
        starting.settled()
        load.goes_on()
    assert load.failures == []
    assert "killed" not in server.log
    assert len(server.pids("worker")) == 2
    assert starting.order("scale", to="4")[0] == 0
    assert server.stop() == 0


@pytest.mark.parametrize("name", short(SLOW, ("hshr-processes",)))
def test_workers_that_hang_at_their_start_are_killed_in_time(name: str, serve: Serve, tmp_path: Path) -> None:
    starting = Starting(serve, name, tmp_path, drain=1.0)
    server = starting.server
    with Load(server.port) as load:
        starting.next_ones("hang")
        assert starting.order("scale", to="4", wait=0.3)[0] == 3
        starting.settled()
        server.wait_for_log(r"had not left after 1 s; killed")
        load.goes_on()
    assert load.failures == []
    assert server.stop() == 0


@pytest.mark.parametrize("how", ["raise", "exit"])
@pytest.mark.parametrize("name", short(SLOW, ("hshr-pushed",)))
def test_a_replacement_that_cannot_start_changes_nothing(name: str, how: str, serve: Serve, tmp_path: Path) -> None:
    starting = Starting(serve, name, tmp_path)
    server = starting.server
    before = server.pids("worker")
    with Load(server.port) as load:
        starting.next_ones(how)
        code, text = starting.order("recycle")
        assert code == 1
        assert re.fullmatch(r"the worker that was to replace worker faults 0 died", text)
        starting.settled()
        assert server.pids("worker") == before
        starting.next_ones("serve")
        assert starting.order("recycle")[0] == 0
        load.goes_on()
    assert load.failures == []
    assert not set(before) & set(server.pids("worker"))
    assert server.stop() == 0


def test_tasks_of_a_dead_worker_that_is_to_leave_are_served(serve: Serve, tmp_path: Path) -> None:
    """It has a task in flight and others behind it when it is killed, and its successor is no longer wanted."""
    starting = Starting(serve, "hshr-pushed", tmp_path)
    server = starting.server
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(server.port)) for _ in range(8)]
        for client in clients:
            client.ask("/?seconds=0.5")
        server.wait_until_busy(2)
        os.kill(server.pids("worker")[1], signal.SIGSTOP)
        os.kill(server.pids("worker")[1], signal.SIGKILL)
        assert starting.order("scale", to="1")[0] == 0
        statuses = sorted(client.answer().status for client in clients)
    assert statuses == [200] * 7 + [502]
    assert len(server.pids("worker")) == 1
    assert server.stop() == 0


def test_tasks_whose_workers_never_start_are_answered(serve: Serve, tmp_path: Path) -> None:
    starting = Starting(serve, "hshr-pushed", tmp_path)
    server = starting.server
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(server.port)) for _ in range(8)]
        for client in clients:
            client.ask("/?seconds=0.5")
        server.wait_until_busy(2)
        starting.next_ones("exit")
        os.kill(server.pids("worker")[1], signal.SIGKILL)
        assert starting.order("scale", to="1")[0] == 0
        statuses = sorted(client.answer().status for client in clients)
    assert statuses[0] == 200
    assert statuses[-1] == 502
    assert set(statuses) == {200, 502}
    server.wait_for_log("none of its successors lived to serve what waited for it")
    assert server.stop() == 0


def test_a_worker_that_its_app_ends_while_it_leaves(serve: Serve, tmp_path: Path) -> None:
    """With status 0, as if it had done everything."""
    starting = Starting(serve, "hshr-pushed", tmp_path)
    server = starting.server
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(server.port)) for _ in range(6)]
        for client in clients[:2]:
            client.ask("/?seconds=0.5")
        server.wait_until_busy(2)
        for client in clients[2:4]:
            client.ask("/?exit=0")
        for client in clients[4:]:
            client.ask("/")
        assert starting.order("drain", worker=1)[0] == 0
        statuses = sorted(client.answer().status for client in clients)
    assert set(statuses) <= {200, 502}
    assert statuses.count(502) <= 2 + 2  # an exit, and what the others had taken
    assert server.stop() == 0


@pytest.mark.parametrize("name", short([*KINDS, *THREADS], ("lf-processes",)))
def test_from_one_to_sixteen_and_back(name: str, serve: Serve) -> None:
    """Within one generation where its numbers suffice, and otherwise by a new one."""
    server = begun(serve, name, 2)
    with Load(server.port) as load:
        for size in (1, 16, 1, 2):
            asked(server, "scale", to=str(size))
            load.goes_on(20)
            assert server.status()["pool"]["ready"] == size
        asked(server, "recycle")
    assert load.failures == []
    wait_until(lambda: len(server.pids("mold")) == 1, "the end of earlier molds")
    assert server.status()["pool"]["size"] == 2
    assert server.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_fifty_rounds_leave_nothing(name: str, serve: Serve) -> None:
    server = begun(serve, name, 4)
    up, down = ("8", "1") if name in CHANGING else ("4", "4")

    def round_of_all() -> None:
        for size in (up, down, "4"):
            asked(server, "scale", to=size)
        asked(server, "recycle")

    with Load(server.port) as load:
        for _ in range(5):
            round_of_all()
    before, used = held(server), memory(server)
    with Load(server.port) as load:
        for _ in range(50):
            round_of_all()
    assert load.failures == []
    assert held(server) == before
    assert memory(server) <= 1.1 * used
    assert server.stop() == 0


@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.parametrize("patch", ["gevent", "short timeout"])
@pytest.mark.parametrize("name", short(SLOW, ("hshr-processes",)))
def test_workers_of_a_patched_library_leave_at_once(name: str, patch: str, preload: bool, serve: Serve) -> None:
    model, _ = KINDS[name]
    keys = {"app": {"wsgi": "patching:application"}, "preload": preload}
    server = serve(model.topology(2) | keys, environment={"PATCH": patch})
    asked(server, "scale", to="4")
    asked(server, "scale", to="1")
    asked(server, "recycle")
    assert "killed" not in server.log
    with Client(server.port) as client:
        assert client.get().status == 200
    assert server.stop() == 0


@pytest.mark.parametrize("name", short(SLOW, ("hshr-processes",)))
def test_children_of_the_app_hold_no_worker_that_leaves(name: str, serve: Serve) -> None:
    model, _ = KINDS[name]
    server = serve(model.topology(2) | {"app": {"wsgi": "forking:application"}})
    children: list[int] = []
    for _ in range(4):
        with Client(server.port) as client:
            client.ask("/?way=child", close=True)
            children.append(int(client.answer().body))
    before = set(server.pids("worker"))
    asked(server, "recycle", wait=PATIENCE)
    assert not before & set(server.pids("worker"))
    assert "killed" not in server.log
    assert server.stop() == 0
    for pid in children:
        wait_until(lambda pid=pid: not alive(pid), f"the end of child {pid}")  # type: ignore[misc]


@pytest.mark.parametrize("name", short(SLOW, ("lf-processes",)))
def test_clients_of_tls_lose_nothing_when_workers_leave(name: str, serve: Serve, tmp_path: Path) -> None:
    """Their connections cannot move: behind a front they stay there, and elsewhere each ends with a response that says
    so."""
    listen, trusted = certified(tmp_path)
    server = begun(serve, name, 2, listen=listen)
    with Load(server.port, idle=2, short=1, tls=trusted) as load:
        for words in ({"do": "scale", "to": "4"}, {"do": "scale", "to": "1"}, {"do": "recycle"}):
            asked(server, **words)
            load.goes_on(20)
    assert load.failures == []
    assert "killed" not in server.log
    assert server.stop() == 0


@pytest.mark.parametrize("name", ["lf-processes", "hsha-front-processes", "hsha-worker-processes"])
def test_websockets_of_a_worker_that_leaves_are_told(name: str, serve: Serve) -> None:
    model, _ = KINDS[name]
    server = serve(model.topology(2) | {"app": {"asgi": "coming:app"}})
    with connect(f"ws://127.0.0.1:{server.port}/", open_timeout=PATIENCE) as client:
        client.send("a")
        assert int(client.recv(PATIENCE)) in server.pids("worker")
        asked(server, "recycle")
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE)
        assert client.close_code == 1012
    assert "killed" not in server.log
    assert server.stop() == 0
