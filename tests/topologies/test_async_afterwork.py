"""What an app does after its response holds nobody: it is counted apart, drained, and cancelled at the end."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from harness.awaited import MODELS, topology
from harness.client import Client, get
from harness.forms import half, short
from harness.server import Serve, wait_until

ASK = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("model", short(MODELS, half(MODELS)))
def test_the_next_request_does_not_wait(model: str, serve: Serve) -> None:
    """They work until they are asked to finish, by a request that comes behind them: on kept connections, pipelined,
    and on others, with one slot only."""
    limits = {"timeouts": {"request": "1s"}, "access_log": {"to": "/dev/null"}}
    server = serve(topology(model, concurrency=1, **limits))
    with Client(server.port) as kept, Client(server.port) as pipelined:
        assert kept.get("/afterwards").body == b"answered"
        assert kept.get("/afterwards").body == b"answered"
        pipelined.send(ASK % b"/afterwards" + ASK % b"/" + ASK % b"/afterwards" + ASK % b"/")
        assert [pipelined.answer().body for _ in range(4)] == [b"answered", b"hello"] * 2
        wait_until(
            lambda: (server.status()["after_response"], server.status()["requests"]) == (4, 6), "the last to be counted"
        )
        assert server.status()["failed"] == 0
        assert kept.get("/sleep?60").status == 504  # timeouts.request holds, and those before it did not notice
        assert get(server.port, "/finish").status == 200
    server.wait_for_log("worked on to the end", 4)
    wait_until(lambda: server.status()["after_response"] == 0, "their end to be counted")
    assert server.stop() == 0


@pytest.mark.parametrize("model", ["reuse-port", "leader-threads"])
def test_a_stream_of_http2_does_not_wait(model: str, serve: Serve) -> None:
    server = serve(topology(model, timeouts={"request": "1s"}))

    async def visit() -> None:
        url = f"http://127.0.0.1:{server.port}"
        async with httpx.AsyncClient(http1=False, http2=True, base_url=url, timeout=20, trust_env=False) as client:
            for _ in range(3):
                assert (await client.get("/afterwards")).text == "answered"
            assert (await client.get("/sleep?60")).status_code == 504
            assert (await client.get("/finish")).status_code == 200

    asyncio.run(visit())
    server.wait_for_log("worked on to the end", 3)
    assert server.stop() == 0


@pytest.mark.parametrize("model", ["reactive-processes", "leader-threads", "reuse-port", "accept-threads"])
def test_a_stop_waits_for_it_and_cancels_it_before_the_end(model: str, serve: Serve) -> None:
    server = serve(topology(model, timeouts={"drain": "4s"}))
    assert get(server.port, "/afterwards?0.5").body == b"answered"
    assert get(server.port, "/afterwards?60").body == b"answered"
    assert server.stop() == 0
    server.wait_for_log("worked on to the end")
    server.wait_for_log("left the work", 2)
    server.wait_for_log("the app has ended")
    assert "GET /afterwards?60 HTTP/1.1 was cancelled: timeouts.drain" in server.log


def test_it_is_bounded(serve: Serve) -> None:
    """Past the bound a response holds its connection until its app has returned; others are still served."""
    server = serve(topology("reuse-port"))
    with Client(server.port) as client:
        for _ in range(10):
            client.send(ASK % b"/afterwards" * 100)
            assert [client.answer().body for _ in range(100)] == [b"answered"] * 100
        client.send(ASK % b"/afterwards" + ASK % b"/")
        assert client.answer().body == b"answered"
        assert get(server.port).body == b"hello"
        client.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.sock.recv(1)
        assert get(server.port, "/finish").status == 200
        client.sock.settimeout(10)
        assert client.sock.recv(65536).endswith(b"hello")
    assert server.stop() == 0
