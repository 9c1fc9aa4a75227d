"""Whatever an app raises ends its request: the client is told, the worker lives, and nobody else notices."""

from __future__ import annotations

import pytest
from harness.client import Client, clients
from harness.server import Serve, Server

from faults.models import ALL, models

KINDS = ("panic", "exit", "interrupt", "generator", "group", "memory")
NAMES = ("hshr-processes", "hshr-threads", "hsha-front-processes", "lf-processes", "lf-threads", "reuse-port")
BASELINES = ("iterative", "thread-per-connection", "process-per-connection")


def serve_raising(serve: Serve, name: str, app: object, **more: object) -> Server:
    if name in BASELINES:
        return serve({"app": app, "pool": {"kind": name}, **more}, tracebacks=True)
    model = ALL[name]
    topology = model.topology(2, **more)
    if not isinstance(app, dict) or "stream" in app:
        topology.pop("affinity"), topology.pop("dispatch")
    return serve({**topology, "app": app}, environment=model.environment, tracebacks=True)


@pytest.mark.parametrize("log", [None, "combined"])
@pytest.mark.parametrize("name", [*NAMES, *BASELINES])
def test_a_request_that_raises_is_answered_and_its_worker_lives(serve: Serve, name: str, log: str | None) -> None:
    if log and name not in ("hshr-processes", "lf-threads"):
        pytest.skip("the service of an access log is the same in every model")
    more = {"access_log": {"format": log, "to": "stdout"}} if log else {}
    server = serve_raising(serve, name, {"wsgi": "raising:application"}, **more)
    before = server.pids("worker"), server.pids("threads")
    for kind in KINDS:
        with Client(server.port) as client:
            client.ask(f"/?raise={kind}")
            assert client.answer().status == 500
            assert client.at_end()
        with Client(server.port) as client:
            client.ask(f"/?raise={kind}&late=1")
            with pytest.raises(EOFError):
                client.answer()
    with Client(server.port) as client:
        assert client.get("/").status == 200
    assert (server.pids("worker"), server.pids("threads")) == before
    server.wait_for_log("the app raised while answering a request", 2 * len(KINDS))
    assert server.stop() == 0


@models(("hshr-threads", "lf-threads"), ("hshr-threads", "lf-threads"))
def test_neighbours_of_a_request_that_raises_keep_their_connections(serve: Serve, name: str) -> None:
    server = serve_raising(serve, name, {"wsgi": "raising:application"})
    with clients(server.port, 8) as others, Client(server.port) as client:
        assert all(other.get().status == 200 for other in others)
        client.ask("/?raise=panic")
        assert client.answer().status == 500
        assert all(other.get().status == 200 for other in others)
    assert server.stop() == 0


@pytest.mark.parametrize("app", ["lines", "stream"])
@pytest.mark.parametrize("name", ["hsha-front-processes", "lf-threads", "thread-per-connection"])
def test_functions_that_raise_end_their_connection_alone(serve: Serve, name: str, app: str) -> None:
    server = serve_raising(serve, name, {app: f"raising:{app.removesuffix('s')}"})
    with Client(server.port) as neighbour:
        for kind in KINDS:
            with Client(server.port) as client:
                client.send(f"{kind}\n".encode())
                assert client.at_end()
        neighbour.send(b"pid\n")
        assert neighbour.line() == b"fine\n"
    assert server.stop() == 0


@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_request_finds_nothing_that_another_one_left(serve: Serve, name: str, preload: bool) -> None:
    """Context variables, those of the standard library, and the environ; pipelined and on other connections."""
    if preload and name not in ("hshr-processes", "lf-threads"):
        pytest.skip("where the app is imported is the same for every model")
    server = serve_raising(serve, name, {"wsgi": "raising:application"}, preload=preload)
    clean = b"nobody 28 nothing"
    with Client(server.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 6)
        assert [client.answer().body for _ in range(6)] == [clean] * 6
    with clients(server.port, 6) as several:
        assert [client.get().body for client in several] == [clean] * 6
    assert server.stop() == 0


@pytest.mark.parametrize("name", ["hsha-front-processes", "lf-threads"])
def test_a_line_finds_no_context_of_another_one(serve: Serve, name: str) -> None:
    server = serve_raising(serve, name, {"lines": "raising:line"})
    with Client(server.port) as client:
        client.send(b"context\n" * 3)
        assert [client.line() for _ in range(3)] == [b"nobody\n"] * 3
    assert server.stop() == 0
