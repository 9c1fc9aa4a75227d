"""Apps that patch the standard library when they are imported: poolctl took what it needs before."""

from __future__ import annotations

from typing import Any

import pytest
from harness.client import Client, clients
from harness.server import Serve

from faults.models import ALL

NAMES = ("hshr-processes", "hshr-threads", "hshr-hybrid", "hsha-front-processes", "lf-threads", "reuse-port")
LOGGING = ("logging", "no logging", "logging of a request", "logging and leaving")
BASELINES = ("thread-per-connection", "process-per-connection", "iterative")


def serve_patched(serve: Serve, name: str, patch: str, app: str = "wsgi", **more: Any) -> Any:
    apps = {"wsgi": {"wsgi": "patching:application"}, "stream": {"stream": "patching:stream"}}
    topology: dict[str, Any] = {"pool": {"kind": name}} if name in BASELINES else ALL[name].topology(2)
    if app == "stream":
        topology.pop("affinity", None)
        topology.pop("dispatch", None)
    return serve({**topology, "app": apps[app], **more}, environment={"PATCH": patch}, tracebacks=True)


@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.parametrize("patch", ["timeout", "short timeout", "gevent", *LOGGING])
@pytest.mark.parametrize("name", [*NAMES, *BASELINES])
def test_a_server_serves_says_what_its_app_raises_and_stops(serve: Serve, name: str, patch: str, preload: bool) -> None:
    if preload and name not in ("hshr-processes", "hshr-threads"):
        pytest.skip("the mold is the same for every model")
    if "logging" in patch and name not in ("hshr-processes", "lf-threads"):
        pytest.skip("the log is the same for every model")
    server = serve_patched(serve, name, patch, preload=preload)
    large = b"x" * 300_000
    if name != "iterative":
        with clients(server.port, 4) as several:
            for client in several:
                client.ask("/")
            assert [client.answer().status for client in several] == [200] * 4
        for _ in range(10 if "gevent" in patch else 1):
            with clients(server.port, 4) as several:  # which all threads tell at the same time
                for client in several:
                    client.ask("/raise")
                assert [client.answer().status for client in several] == [500] * 4
    with Client(server.port) as client:
        client.ask("/", method="POST", body=large)
        assert client.answer().body == large
        client.ask("/raise")
        assert client.answer().status == 500
    with Client(server.port) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")  # no Host: words, and a farewell that waits for the client
        assert client.answer().status == 400
        assert client.at_end()
    server.wait_for_log("ValueError: on purpose")
    assert server.stop() == 0
    assert "stopped" in server.log


@pytest.mark.parametrize("patch", ["gevent", "short timeout"])
@pytest.mark.parametrize("name", ["hsha-front-processes", "lf-threads", "thread-per-connection"])
def test_a_stream_has_a_thread_of_the_system(serve: Serve, name: str, patch: str) -> None:
    server = serve_patched(serve, name, patch, "stream")
    with Client(server.port) as silent, Client(server.port) as client:
        silent.send(b"be")  # it waits in its function
        client.send(b"line\n")
        assert client.line() == b"line\n"
        silent.send(b"gun\n")
        assert silent.line() == b"begun\n"
    assert server.stop() == 0
