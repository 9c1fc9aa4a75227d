"""Classes of requests in real servers: what is kept for one, and how many of one run at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.client import Client, get
from harness.commands import poolctl
from harness.gate import Gate, gate
from harness.ports import quiet_port
from harness.server import Serve, Server, wait_until

REACTIVE = "half-sync/half-reactive"
WSGI: dict[str, Any] = {"app": {"wsgi": "gated:application"}}
MODELS: dict[str, dict[str, Any]] = {  # each with three places
    "processes": {**WSGI, "pool": {"size": 3}},
    "threads": {**WSGI, "pool": {"kind": "thread", "size": 3}},
    "processes of threads": {**WSGI, "pool": {"size": 1, "threads": 3}},
    "awaited": {"app": {"use": "asgi", "target": "gated:asgi", "concurrency": 3}, "pool": {"size": 1}},
}
models = pytest.mark.parametrize("model", MODELS)


@pytest.fixture
def doors() -> Iterator[list[Gate]]:
    with gate() as one, gate() as other:
        yield [one, other]


def started(serve: Serve, model: str, classes: list[dict[str, Any]], **more: Any) -> Server:
    topology = {**MODELS[model], "ownership": REACTIVE, "classes": classes, **more}
    return serve(topology, path=Path(__file__).parent / "apps")


def asked(stack: ExitStack, server: Server, target: str, method: str = "GET") -> Client:
    client = stack.enter_context(Client(server.port))
    client.ask(target, method=method)
    return client


@models
def test_so_many_run_at_once_and_others_pass(serve: Serve, model: str, doors: list[Gate]) -> None:
    chat, other = doors
    server = started(serve, model, [{"path": chat.path, "most": 2}])
    with ExitStack() as stack:
        clients = [asked(stack, server, chat.path) for _ in range(4)]
        inside = [chat.arrival()[1] for _ in range(2)]
        assert chat.nobody()
        assert get(server.port).status == 200
        clients.append(asked(stack, server, other.path))
        inside.append(other.arrival()[1])
        inside.pop(0).close()  # one chat is over, so the next begins
        inside.append(chat.arrival()[1])
        assert chat.nobody()
        for each in inside:
            each.close()
        chat.arrival()[1].close()
        assert [client.answer().status for client in clients] == [200] * 5


@models
def test_a_worker_is_kept(serve: Serve, model: str, doors: list[Gate]) -> None:
    slow, _ = doors
    server = started(serve, model, [{"path": "/", "method": "POST", "reserve": 1}])
    with ExitStack() as stack:
        clients = [asked(stack, server, slow.path) for _ in range(4)]
        inside = [slow.arrival()[1] for _ in range(2)]
        assert slow.nobody()
        for _ in range(3):
            posted = asked(stack, server, "/", "POST")
            assert posted.answer().status == 200
        for each in inside:
            each.close()
        for _ in range(2):
            slow.arrival()[1].close()
        assert [client.answer().status for client in clients] == [200] * 4


@models
def test_a_flood_fills_the_queue_and_is_refused_itself(serve: Serve, model: str, doors: list[Gate]) -> None:
    slow, _ = doors
    classes = [{"path": slow.path, "most": 1}]
    server = started(serve, model, classes, limits={"waiting": 3}, overload="off")
    with ExitStack() as stack:
        first = asked(stack, server, slow.path)
        inside = slow.arrival()[1]
        flood = [asked(stack, server, slow.path) for _ in range(20)]
        refused = [client for client in flood[3:] if client.answer().status == 503]
        assert len(refused) == 17
        assert get(server.port).status == 200
        inside.close()
        for _ in range(3):
            slow.arrival()[1].close()
        assert [client.answer().status for client in (first, *flood[:3])] == [200] * 4


def test_a_reload_changes_classes_while_requests_wait(serve: Serve, doors: list[Gate], tmp_path: Path) -> None:
    slow, _ = doors
    listen = f"tcp://127.0.0.1:{quiet_port()}"
    server = started(serve, "processes", [{"path": slow.path, "most": 1}], listen=listen)
    (file,) = tmp_path.glob("*.yaml")
    pids = server.pids("worker")
    with ExitStack() as stack:
        clients = [asked(stack, server, slow.path) for _ in range(2)]
        inside = [slow.arrival()[1]]
        assert slow.nobody()
        topology = yaml.safe_load(file.read_text())
        topology["classes"][0]["most"] = 2
        file.write_text(yaml.safe_dump(topology))
        done = poolctl("reload", str(server.pid), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        inside.append(slow.arrival()[1])
        for each in inside:
            each.close()
        assert [client.answer().status for client in clients] == [200] * 2
    assert server.pids("worker") == pids


def test_size_aware_serves_whatever_happens_to_workers(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "import os, time\n"
        "def app(environ, start_response):\n"
        "    if environ['PATH_INFO'] == '/die':\n"
        "        os._exit(1)\n"
        "    time.sleep(0.05 if environ['PATH_INFO'] == '/slow' else 0.001)\n"
        "    start_response('200 OK', [('Content-Length', '2')])\n"
        "    return [b'ok']\n"
    )
    server = serve({"app": {"wsgi": "shop:app"}, "pool": {"size": 3}, "dispatch": "size-aware"})
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(server.port)) for _ in range(12)]
        for turn in range(30):
            for number, client in enumerate(clients):
                client.ask("/slow" if (number + turn) % 6 == 0 else "/fast")
            assert {client.answer().status for client in clients} == {200}
            if turn % 10 == 5:
                assert get(server.port, "/die").status == 502
    wait_until(lambda: len(server.pids("worker")) == 3, "all workers")
