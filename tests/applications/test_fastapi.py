"""A FastAPI application, unchanged, under every ownership model that has asynchronous workers."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from browser import Tab, load, tabs
from curl import curl
from harness.forms import short
from harness.memory import peaks
from harness.server import Server, wait_until
from running import LEFT, browsing, copy, served
from slow import forget_peaks, rest, slow_readers
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

API = """
app: {use: asgi, target: "api:app", lifespan: on}
directory: fastapi_api
"""
PROCESSES = "pool: {kind: process, size: 2}\n"
LENT = "half-sync/half-reactive"
TOPOLOGIES = {
    LENT: f"{API}{PROCESSES}ownership: half-sync/half-reactive\n",
    "half-sync/half-async": f"{API}{PROCESSES}",
    "half-sync/half-async worker, preload": (
        f"{API}{PROCESSES}ownership: {{use: half-sync/half-async, accept: worker}}\npreload: true\n"
    ),
    "leader/followers": f"{API}{PROCESSES}ownership: leader/followers\n",
    "leader/followers threads": f"{API}pool: {{kind: thread, size: 2}}\nownership: leader/followers\n",
    "reuse-port, http2": f"{API}{PROCESSES}ownership: reuse-port\nprotocol: {{use: http, http2: true}}\n",
}
MIB = 1024 * 1024


# Each ownership once, each pool once.
ALWAYS = {LENT, "half-sync/half-async worker, preload", "leader/followers threads", "reuse-port, http2"}


@pytest.fixture(scope="module", params=short(TOPOLOGIES, ALWAYS))
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    project = copy("fastapi_api", tmp_path_factory.mktemp("fastapi"))
    with served(TOPOLOGIES[request.param], project, tracebacks=True) as server:
        yield server
    assert server.log.count("the stock is open") == server.log.count("the stock is closed") == 2


@pytest.fixture
def api_url(api: Server) -> str:
    return f"http://127.0.0.1:{api.port}"


@pytest.fixture
def lent(request: pytest.FixtureRequest) -> bool:
    """Whether a front reads the requests."""
    return request.node.callspec.params["api"] == LENT


def wait_for_end(api: Server, words: str, count: int) -> None:
    """Until so many streams have said it. The error of a client that left is in a cycle with its stream (AsyncExitStack
    makes one), so a stream may end with the worker's next collection of garbage."""

    def ended() -> bool:
        with browsing(api) as client:
            client.get("/stock?collect=1")
        return api.log.count(words) >= count

    wait_until(ended, f"{count} times {words!r}")


def test_bodies_dependencies_and_background_tasks(api: Server) -> None:
    with browsing(api, headers={"X-Token": "ann"}) as client:
        item = {"name": "apple", "price": 0.5, "tags": ["red"]}
        answer = client.post("/items", json=item)
        assert (answer.status_code, answer.json()) == (201, {"item": item, "by": "ANN"})
        refused = client.post("/items", json={"name": "", "price": -1})
        assert refused.status_code == 422
        assert [error["loc"] for error in refused.json()["detail"]] == [["body", "name"], ["body", "price"]]
        assert client.post("/items", content=b"{", headers={"Content-Type": "application/json"}).status_code == 422
        anonymous = client.post("/items", json=item, headers={"X-Token": ""})
        assert anonymous.status_code == 201
        assert client.get("/items/7").json() == {"number": 7, "main": False}
        assert client.get("/items/seven").status_code == 422
        assert client.get("/openapi.json").json()["info"]["title"] == "stock"
        assert "swagger" in client.get("/docs").text
    with browsing(api) as client:
        stranger = client.post("/items", json=item)
        assert (stranger.status_code, stranger.headers["www-authenticate"]) == (401, "Token")
    api.wait_for_log("noted apple")
    api.wait_for_log("goodbye ann")


def test_the_state_of_the_lifespan(api: Server) -> None:
    pids = set()
    for _ in range(20):
        with browsing(api) as client:
            found = client.get("/stock").json()
        assert (found["apple"], found["own"]) == (3, True)
        pids.add(found["pid"])
    assert pids <= set(api.pids("worker") or api.pids("threads"))


def test_what_goes_wrong(api: Server) -> None:
    with browsing(api) as client:
        assert client.get("/items/0").json() == {"sold out": "zero"}
        assert client.get("/nowhere").json() == {"detail": "Not Found"}
        assert client.put("/items/1").status_code == 405
        assert client.get("/fails").status_code == 500
        assert client.get("/stock").status_code == 200
    api.wait_for_log("ValueError: on purpose")


def test_many_requests_at_once(api: Server, tmp_path: Path) -> None:
    def ask(client: httpx.Client) -> int:
        return client.get("/meet", params={"folder": str(tmp_path), "count": 16}).json()["met"]

    with browsing(api) as client, ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, [client] * 16)) == [16] * 16
        events = client.get("/ticks")
        assert events.headers["content-type"].startswith("text/event-stream")
        assert events.text == "".join(f"data: {number}\n\n" for number in range(5))


def test_curl(api: Server, api_url: str, lent: bool, tmp_path: Path) -> None:
    content = os.urandom(3 * MIB)
    file = tmp_path / "curled.bin"
    file.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    form = curl("-F", f"file=@{file}", "-F", "note=by curl", f"{api_url}/upload")
    assert form.statuses == [100, 200]
    assert json.loads(form.body) == {"note": "by curl", "name": "curled.bin", "sha256": digest}
    expected = {"size": 3 * MIB, "sha256": digest}
    put = curl("-T", str(file), f"{api_url}/raw")
    assert (put.statuses, json.loads(put.body)) == ([100, 200], expected)
    assert json.loads(curl("-T", "-", f"{api_url}/raw", given=content).body) == expected
    unwanted = curl("-T", str(file), f"{api_url}/stock")
    assert unwanted.statuses == ([100, 405] if lent else [405])  # nothing of it was asked for, unless by the front
    source = Path(__file__).parent.joinpath("fastapi_api", "api.py").read_bytes()
    assert curl(f"{api_url}/source").body == source
    assert curl("--http1.0", f"{api_url}/ticks").body.count(b"data") == 5
    part = curl("-r", "100-199", f"{api_url}/source")
    assert (part.statuses, part.body) == ([206], source[100:200])
    assert curl("-I", f"{api_url}/source").statuses == [405]  # FastAPI's routes have no HEAD of their own
    several = curl(f"{api_url}/stock", f"{api_url}/ticks", f"{api_url}/items/3")
    assert several.statuses == [200, 200, 200]
    assert several.trace.count("Re-using existing connection") == 2


def test_a_browser(api: Server) -> None:
    with tabs(api.port) as opened, Tab(api.port) as ahead:
        answers = load(opened, [f"/items/{number}" for number in range(1, 49)])
        assert [json.loads(answer.body)["number"] for answer in answers] == list(range(1, 49))
        for target in ("/sleep?seconds=0.05", "/items/5", "/ticks"):
            opened[0].go(target)
        assert [len(opened[0].answer().body) for _ in range(3)] == [14, 25, 45]  # in the order of the requests
        assert opened[1].visit("/stock", Cookie="c=" + "x" * 20_000).status == 200
        assert {tab.visit("/stock").status for tab in [*opened, ahead]} == {200}


@pytest.mark.parametrize("api", ["reuse-port, http2"], indirect=True)
def test_http2(api: Server) -> None:
    content = os.urandom(2 * MIB)
    before = api.log.count("the ticks have ended")
    with browsing(api, http1=False, http2=True) as client:
        # one after the other: threads that share a connection of httpx may begin their streams out of order
        answers = [client.get(f"/items/{number}") for number in range(1, 25)]
        assert {answer.http_version for answer in answers} == {"HTTP/2"}
        assert [answer.json()["number"] for answer in answers] == list(range(1, 25))
        uploaded = client.post("/upload", files={"file": ("a.bin", content)}, data={"note": "n"}).json()
        assert uploaded["sha256"] == hashlib.sha256(content).hexdigest()
        assert (client.get("/fails").status_code, client.get("/nowhere").status_code) == (500, 404)
        assert client.get("/ticks").text.count("data") == 5
        assert len(client.get("/large?mib=4").content) == 4 * MIB
        with client.stream("GET", "/forever") as answer:
            assert next(answer.iter_text()).startswith("data: tick")
        assert client.get("/stock").json()["apple"] == 3
    wait_for_end(api, "the ticks have ended", before + 1)  # httpx resets no stream, it closes the connection


@pytest.mark.parametrize("api", [name for name in TOPOLOGIES if name != LENT], indirect=True)
def test_a_websocket(api: Server) -> None:
    base = f"ws://127.0.0.1:{api.port}"
    before = api.log.count("the talk is over"), api.log.count("a client left during GET /shout")
    with connect(f"{base}/talk/ann", subprotocols=["talk"]) as ann, connect(f"{base}/talk/bob") as bob:
        assert (ann.subprotocol, bob.subprotocol) == ("talk", None)
        assert [json.loads(talker.recv(10)) for talker in (ann, bob)] == [
            {"name": name, "apple": 3} for name in ("ann", "bob")
        ]
        for text in ("hello", "☃" * 10_000):
            for talker in (ann, bob):
                talker.send(text)
            assert [talker.recv(10) for talker in (ann, bob)] == [f"ann: {text}", f"bob: {text}"]
    api.wait_for_log("the talk is over", before[0] + 2)
    with pytest.raises(InvalidStatus) as refused:  # the token is missing
        connect(f"{base}/shout")
    assert refused.value.response.status_code == 403
    with connect(f"{base}/shout?token=x", close_timeout=0.1) as shouting:  # it reads no further, and no close either
        assert shouting.recv(10) == b"x" * 65536
    api.wait_for_log("a client left during GET /shout", before[1] + 1)
    assert LEFT.findall(api.log) == []


def test_clients_that_leave(api: Server) -> None:
    before = api.log.count("the stream is closed"), api.log.count("the ticks have ended")
    with tabs(api.port) as opened:
        for tab in opened:
            tab.go("/large?mib=8")
        for tab in opened:
            assert tab.line() == b"HTTP/1.1 200 OK\r\n"
    with tabs(api.port) as opened:
        for tab in opened:
            tab.go("/forever")
        for tab in opened:
            assert tab.line() == b"HTTP/1.1 200 OK\r\n"
    wait_for_end(api, "the stream is closed", before[0] + len(opened))
    wait_for_end(api, "the ticks have ended", before[1] + len(opened))
    with Tab(api.port) as tab:
        assert len(tab.visit("/large?mib=4").body) == 4 * MIB
    assert LEFT.findall(api.log) == []  # that clients leave is no error of the application


def test_slow_readers_hold_neither_workers_nor_memory(api: Server) -> None:
    """The application waits for each of them, and the others do not."""
    with browsing(api) as client:
        assert len(client.get("/large?mib=4").content) == 4 * MIB  # what a process needs for the first time
        before = forget_peaks(api)
        sizes = [64, 12, 12]  # MiB; each is more than the kernel keeps for a client
        with slow_readers(api, [f"/large?mib={size}" for size in sizes]) as readers:
            for number in range(1, 9):
                assert client.get(f"/items/{number}").json()["number"] == number
            for reader, size in zip(readers, sizes, strict=True):
                assert rest(reader) > size * MIB
    after = peaks(api)
    assert {pid: after[pid] - before[pid] for pid in before if after[pid] - before[pid] > 32 * 1024} == {}
