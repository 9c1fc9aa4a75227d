"""timeouts.stream: what goes on in a drain although it was told to end is cut off alone; requests keep the whole drain,
which here is far longer than any test."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from h2.events import StreamReset
from harness import awaited, served
from harness.client import Client
from harness.forms import half, in_turn, short
from harness.machine import PATIENCE
from harness.server import Serve, Server, ask, wait_until
from topologies.test_http2 import Wire
from topologies.test_tls import Papers, listen, papers, shake  # noqa: F401  # a fixture
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

TIMES = {"timeouts": {"stream": "500ms", "drain": "10m", "write": "10m", "idle": "10m"}}
HTTP2 = {"protocol": {"use": "http", "http2": True}}
CUT = r"%s went on for timeouts.stream \(0.5 s\) in a drain: cut off"
BASELINES: dict[str, dict[str, Any]] = {
    name: {"pool": name} for name in ("iterative", "thread-per-connection", "process-per-connection")
}
HYBRID: dict[str, dict[str, Any]] = {
    f"{ownership} hybrid": {"pool": {"kind": "process", "size": 1, "threads": 2}, "ownership": ownership}
    for ownership in ("half-sync/half-reactive", "half-sync/half-async", "leader/followers")
}
SYNC = {**served.MODELS, **HYBRID, **BASELINES}
OWNING = {name: model for name, model in SYNC.items() if "half-reactive" not in name}
STREAMS = ("/endless", "/huge")


def wsgi(model: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"app": {"wsgi": "endless:application"}, **model, **TIMES, **more}


def asgi(model: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"app": {"asgi": "endless:app"}, **model, **TIMES, **more}


@contextmanager
def begun(server: Server, path: str) -> Iterator[Client]:
    """A client that has the beginning of a response, and takes little more of it."""
    with Client(server.port) as client:
        client.ask(path)
        assert client.sock.recv(64).startswith(b"HTTP/1.1 200 ")
        yield client


def is_cut(server: Server, what: str, count: int = 1) -> None:
    server.wait_for_log(CUT % what, count)


@pytest.mark.parametrize(("model", "path"), short(product(SYNC, STREAMS), in_turn(SYNC, STREAMS)[::2]))
def test_a_response_of_a_blocking_app_is_cut_off(serve: Serve, model: str, path: str) -> None:
    """Between two of its parts while the app has it, and where it waits for its client after that."""
    server = serve(wsgi(SYNC[model]))
    with begun(server, path) as client:
        if path == "/huge":
            server.wait_for_log("all was made")
        server.signal()
        is_cut(server, f"GET {path} HTTP/1.1")
        end = client.until_end()
        assert not end.endswith(b"0\r\n\r\n"), "the client sees that it is incomplete"
        assert server.wait() == 0
    assert ("the iteration has ended" in server.log) == (path == "/endless")
    assert server.log.count("cut off") == 1


@pytest.mark.parametrize(("model", "path"), short(product(OWNING, STREAMS), in_turn(OWNING, STREAMS)[::2]))
def test_a_stream_of_a_blocking_app_is_reset_alone(serve: Serve, model: str, path: str) -> None:
    server = serve(wsgi(OWNING[model], **HTTP2))
    with Wire(server.port) as wire:
        number = wire.ask(path)
        server.wait_for_log("all was made" if path == "/huge" else f"begins {path}")
        server.signal()
        events = list(without_window(wire))
        assert [each.stream_id for each in events if isinstance(each, StreamReset)] == [number]
        is_cut(server, f"GET {path} HTTP/2")
        assert server.wait() == 0


def without_window(wire: Wire) -> Iterator[Any]:
    """All events until the end; no window is opened."""
    while data := wire.sock.recv(65536):
        yield from wire.h2.receive_data(wire.watch.sift(data))
        wire.flush()


@pytest.mark.parametrize("model", short(SYNC, half(SYNC, 1)[::2]))
def test_a_request_whose_response_has_not_begun_is_left_alone(serve: Serve, model: str) -> None:
    server = serve(wsgi(SYNC[model]))
    with Client(server.port) as client:
        client.ask("/later?1.5")
        server.wait_for_log("begins /later")
        server.signal()
        assert client.answer().body == b"done"
        assert server.wait() == 0
    assert "cut off" not in server.log


@pytest.mark.parametrize("model", short(SYNC, half(SYNC)[::2]))
def test_what_an_app_leaves_out_is_not_taken_for_sent(serve: Serve, model: str) -> None:
    """One that ignores that its response was cut off: the next response must not become the rest of it."""
    server = serve(wsgi(SYNC[model]))
    with begun(server, "/deaf") as client:
        server.signal(signal.SIGHUP)
        client.ask("/later?0")
        assert b"HTTP/1.1" not in client.until_end()
    is_cut(server, "GET /deaf HTTP/1.1")
    assert "does not listen" in server.log


PATHS = ("/endless", "/silent", "/huge")


@pytest.mark.parametrize("model", short(awaited.MODELS, half(awaited.MODELS)[::2]))
def test_responses_of_an_awaited_app_are_cancelled(serve: Serve, model: str) -> None:
    server = serve(asgi(awaited.MODELS[model]))
    with begun(server, "/endless") as one, begun(server, "/silent") as two, begun(server, "/huge") as three:
        with Client(server.port) as later:
            later.ask("/later?1.5")
            server.wait_for_log("begins /later")
            server.signal()
            for path in PATHS:
                is_cut(server, f"GET {path} HTTP/1.1")
                server.wait_for_log(f"cancelled: {path}")
            for client in (one, two, three):
                assert not client.until_end().endswith(b"0\r\n\r\n")
            assert later.answer().body == b"done"
        assert server.wait() == 0
    assert server.log.count("cut off") == 3
    assert "the app has ended" in server.log


@pytest.mark.parametrize("model", short(awaited.OWNING, half(awaited.OWNING, 1)[::2]))
def test_streams_of_an_awaited_app_are_reset_and_the_others_go_on(serve: Serve, model: str) -> None:
    server = serve(asgi(awaited.OWNING[model], **HTTP2))
    with Wire(server.port) as wire:
        wire.h2.increment_flow_control_window(1 << 24)  # of the connection: none waits for another
        cut = [wire.ask(path) for path in PATHS]
        whole = wire.ask("/later?1.5")
        server.wait_for_log("begins", 4)
        server.signal()
        events = list(without_window(wire))
        assert sorted(each.stream_id for each in events if isinstance(each, StreamReset)) == cut
        assert b"done" in b"".join(getattr(each, "data", None) or b"" for each in events if each_of(each) == whole)
    assert server.wait() == 0
    for path in PATHS:
        is_cut(server, f"GET {path} HTTP/2")


def each_of(event: Any) -> int:
    return getattr(event, "stream_id", None) or 0


@pytest.mark.parametrize("model", short(awaited.OWNING, half(awaited.OWNING)[::2]))
def test_a_websocket_whose_app_does_not_end_is_cut_off(serve: Serve, model: str) -> None:
    server = serve(asgi(awaited.OWNING[model]))
    with connect(f"ws://127.0.0.1:{server.port}/silent", open_timeout=PATIENCE) as client:
        server.wait_for_log("begins /silent")
        server.signal()
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE)
        assert client.close_code == 1012
        is_cut(server, "GET /silent HTTP/1.1")
        assert server.wait() == 0
    assert "cancelled: /silent" in server.log
    assert "the app has ended" in server.log


@pytest.mark.parametrize("model", ["reuse-port", "reactive-processes", "leader-threads"])
def test_what_does_not_listen_loses_its_client_at_once_and_is_waited_for(serve: Serve, model: str) -> None:
    server = serve(asgi(awaited.MODELS[model]))
    with begun(server, "/deaf") as client:
        server.signal()
        client.until_end()
        assert "goes at last" not in server.log
        assert server.wait() == 0
    assert "goes at last" in server.log
    assert server.log.count("cut off") == 1


def test_a_websocket_that_does_not_listen_is_waited_for_without_its_client(serve: Serve) -> None:
    server = serve(asgi(awaited.OWNING["reuse-port"]))
    with connect(f"ws://127.0.0.1:{server.port}/deaf", open_timeout=PATIENCE):
        server.wait_for_log("begins /deaf")
        server.signal()
        assert server.wait() == 0
    assert "goes at last" in server.log


CONVERSING = {
    **{f"stream {name}": ("stream", model) for name, model in served.MODELS.items() if "reactive" not in name}
}
CONVERSING |= {f"stream {name}": ("stream", model) for name, model in BASELINES.items()}
CONVERSING |= {f"async-stream {name}": ("async-stream", model) for name, model in awaited.OWNING.items()}


@pytest.mark.parametrize("name", short(CONVERSING, half(CONVERSING)[::2]))
def test_a_conversation_is_cut_off(serve: Serve, name: str) -> None:
    app, model = CONVERSING[name]
    server = serve({"app": {app: f"endless:{app.replace('-', '_')}"}, **model, **TIMES})
    with Client(server.port) as client:
        client.send(b"hello\n")
        server.wait_for_log("begins a conversation")
        server.signal()
        client.until_end()
        is_cut(server, "a conversation with 127.0.0.1:[0-9]+")
        assert server.wait() == 0
    assert "the conversation has ended" in server.log
    assert server.log.count("cut off") == 1


@pytest.mark.parametrize("model", short(SYNC, half(SYNC)[::2]))
def test_a_file_for_a_slow_client_is_cut_off(serve: Serve, tmp_path: Path, model: str) -> None:
    with (tmp_path / "huge").open("wb") as made:
        made.truncate(1 << 30)
    server = serve({"app": {"static": str(tmp_path)}, **SYNC[model], **TIMES})
    with begun(server, "/huge") as client:
        server.signal()
        is_cut(server, "GET /huge HTTP/1.1")
        assert len(client.until_end()) < 1 << 30
        assert server.wait() == 0


@pytest.mark.parametrize(
    ("model", "path"), short(product(served.MODELS, STREAMS), in_turn(served.MODELS, STREAMS)[::2])
)
def test_behind_tls(serve: Serve, papers: Papers, model: str, path: str) -> None:  # noqa: F811
    """Of which the client may have nothing yet: the thread that serves it may be that of its TLS."""
    server = serve(wsgi(served.MODELS[model], listen=listen(papers)))
    with shake(server, papers.trusting()) as client:
        client.sendall(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
        server.wait_for_log("all was made" if path == "/huge" else f"begins {path}")
        server.signal()
        is_cut(server, f"GET {path} HTTP/1.1")
        assert server.wait() == 0


@pytest.mark.parametrize("app", ["wsgi", "asgi"])
def test_a_reload_goes_on_without_it(serve: Serve, app: str) -> None:
    make = wsgi if app == "wsgi" else asgi
    server = serve(make({"pool": {"kind": "process", "size": 1}}))
    with begun(server, "/endless") as client:
        (before,) = server.pids("worker")
        server.signal(1)  # type: ignore[arg-type]
        is_cut(server, "GET /endless HTTP/1.1")
        client.until_end()
        wait_until(lambda: before not in server.tree(), "the end of the earlier worker")
    assert server.stop() == 0


@pytest.mark.parametrize("ownership", ["half-sync/half-reactive", "half-sync/half-async", "leader/followers"])
@pytest.mark.parametrize("app", ["wsgi", "asgi"])
def test_a_worker_that_leaves_alone_cuts_too(serve: Serve, app: str, ownership: str) -> None:
    make = wsgi if app == "wsgi" else asgi
    server = serve(make({"pool": {"kind": "process", "size": 2}, "ownership": ownership}))
    with begun(server, "/endless") as client:
        (before,) = server.wait_until_busy()
        number = next(each["worker"] for each in server.status()["workers"] if each["pid"] == before)
        ask(server.control_socket(), "drain", worker=number)
        is_cut(server, "GET /endless HTTP/1.1")
        client.until_end()
        wait_until(lambda: before not in server.tree(), "the end of the worker")
    assert server.stop() == 0


def test_it_is_counted(serve: Serve) -> None:
    server = serve(wsgi({"pool": {"kind": "process", "size": 2}}))
    with begun(server, "/endless"), Client(server.port) as later:
        later.ask("/later?3")
        server.wait_for_log("begins /later")
        server.signal()
        is_cut(server, "GET /endless HTTP/1.1")
        assert wait_until(lambda: server.status()["failed"], "the count") == 1
        later.answer()
        assert server.wait() == 0
