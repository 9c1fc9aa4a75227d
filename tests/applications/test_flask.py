"""A Flask shop, unchanged, under every ownership model, visited with httpx, curl and as browsers do."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Tab, load, tabs
from curl import curl
from harness.forms import short
from harness.server import Server
from running import LEFT, browsing, copy, served

SHOP = """
app: {wsgi: shop:app}
directory: flask_shop
environment: {SHOP_SECRET_KEY: sesame, SHOP_FILES: data}
"""
PROCESSES = "pool: {kind: process, size: 2}\n"
THREADS = "pool: {kind: thread, size: 4}\n"
TOPOLOGIES = {
    "half-sync/half-reactive": f"{SHOP}{PROCESSES}",
    "half-sync/half-reactive threads, preload": f"{SHOP}{THREADS}preload: true\n",
    "half-sync/half-async": f"{SHOP}{PROCESSES}ownership: half-sync/half-async\n",
    "half-sync/half-async worker": f"{SHOP}{PROCESSES}ownership: {{use: half-sync/half-async, accept: worker}}\n",
    "leader/followers": f"{SHOP}{PROCESSES}ownership: leader/followers\n",
    "leader/followers threads": f"{SHOP}{THREADS}ownership: leader/followers\n",
    "reuse-port, preload, http2": (
        f"{SHOP}{PROCESSES}ownership: reuse-port\npreload: true\nprotocol: {{use: http, http2: true}}\n"
    ),
}
MIB = 1024 * 1024


# Each ownership once, each pool twice.
ALWAYS = {
    "half-sync/half-reactive threads, preload",
    "half-sync/half-async worker",
    "leader/followers threads",
    "reuse-port, preload, http2",
}


@pytest.fixture(scope="module", params=short(TOPOLOGIES, ALWAYS))
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    project = copy("flask_shop", tmp_path_factory.mktemp("flask"))
    with served(TOPOLOGIES[request.param], project, tracebacks=True) as server:
        yield server


@pytest.fixture(scope="module")
def kept(shop: Server) -> Iterator[Tab]:
    """A connection that is used once, and again when all other tests are through."""
    with Tab(shop.port) as tab:
        assert tab.visit("/page").status == 200
        yield tab


@pytest.fixture
def shop_url(shop: Server) -> str:
    return f"http://127.0.0.1:{shop.port}"


def test_a_basket_and_an_upload(shop: Server, shop_url: str, kept: Tab) -> None:
    with browsing(shop, follow_redirects=True) as client:
        assert client.post("/buy/apple").json()["basket"] == ["apple"]
        answer = client.post("/buy/pear")
        assert (answer.url, answer.json()["basket"]) == (f"{shop_url}/", ["apple", "pear"])
        files = {f"file{number}": (f"{number}.bin", os.urandom(400_000)) for number in range(3)}
        answer = client.post("/upload?tell=1", files=files, data={"note": "fragile ☃"}).json()
        assert answer["files"] == {name: hashlib.sha256(data).hexdigest() for name, data in files.values()}
        assert answer["form"] == {"note": "fragile ☃"}
        assert client.get("/files/1.bin").content == files["file1"][1]
        pieces = (b"%06d" % number * 100 for number in range(1000))
        whole = b"".join(b"%06d" % number * 100 for number in range(1000))
        answer = client.put("/raw", content=pieces).json()
        assert answer == {"size": 600_000, "sha256": hashlib.sha256(whole).hexdigest(), "length": 600_000}
        assert client.get("/count?to=1000&tell=1").text == "".join(f"{number}\n" for number in range(1000))
    shop.wait_for_log("tidied /upload")
    shop.wait_for_log("tidied /count")


@pytest.mark.parametrize("shop", ["reuse-port, preload, http2"], indirect=True)
def test_http2(shop: Server) -> None:
    content = os.urandom(2 * MIB)
    with browsing(shop, http1=False, http2=True, follow_redirects=True) as client:
        bought = client.post("/buy/apple")
        assert (bought.http_version, bought.json()["basket"]) == ("HTTP/2", ["apple"])
        uploaded = client.post("/upload", files={"file": ("two.bin", content)}).json()["files"]
        assert uploaded == {"two.bin": hashlib.sha256(content).hexdigest()}
        part = client.get("/files/two.bin", headers={"Range": "bytes=1000-1999"})
        assert (part.status_code, part.content) == (206, content[1000:2000])
        page = client.get("/page")
        assert client.get("/page", headers={"If-None-Match": page.headers["etag"]}).status_code == 304
        assert client.get("/count?to=100").text.count("\n") == 100
        assert (client.get("/fails").status_code, client.get("/nowhere").status_code) == (500, 404)


def test_what_goes_wrong(shop: Server) -> None:
    with browsing(shop) as client:
        assert (client.post("/buy/unicorn").status_code, client.get("/teapot").status_code) == (409, 418)
        assert client.get("/nowhere").json() == {"error": "Not Found"}
        assert client.delete("/").json() == {"error": "Method Not Allowed"}
        failed = client.get("/fails")
        assert (failed.status_code, failed.json()) == (500, {"error": "Internal Server Error"})
        assert "OPTIONS" in client.options("/").headers["allow"]
    shop.wait_for_log("ValueError: on purpose")


def test_curl_uploads(shop: Server, shop_url: str, tmp_path: Path) -> None:
    content = os.urandom(3 * MIB)
    file = tmp_path / "curled.bin"
    file.write_bytes(content)
    form = curl("-F", f"file=@{file}", "-F", "note=by curl", f"{shop_url}/upload")
    assert form.statuses == [100, 200]  # so much it does not send before it is asked for
    assert json.loads(form.body)["files"] == {"curled.bin": hashlib.sha256(content).hexdigest()}
    expected = {"size": 3 * MIB, "sha256": hashlib.sha256(content).hexdigest(), "length": 3 * MIB}
    put = curl("-T", str(file), f"{shop_url}/raw")
    assert (put.statuses, json.loads(put.body)) == ([100, 200], expected)
    chunked = curl("-T", "-", f"{shop_url}/raw", given=content)
    assert "Transfer-Encoding: chunked" in chunked.trace
    assert json.loads(chunked.body) == expected
    asked = curl("-H", "Expect: 100-continue", "-d", "a=b", f"{shop_url}/upload")
    assert (asked.statuses, json.loads(asked.body)["form"]) == ([100, 200], {"a": "b"})
    file.write_bytes(bytes(17 * MIB))
    refused = curl("-T", str(file), f"{shop_url}/raw")
    assert refused.statuses == [413]  # and nothing of the 17 MiB was asked for
    ten = curl("--http1.0", "-d", "a=b", f"{shop_url}/upload")
    assert (ten.statuses, json.loads(ten.body)["form"]) == ([200], {"a": "b"})


def test_curl_downloads(shop: Server, shop_url: str, tmp_path: Path) -> None:
    content = os.urandom(2 * MIB)
    curl("-F", "file=@-;filename=whole.bin", f"{shop_url}/upload", given=content)
    target = f"{shop_url}/files/whole.bin"
    assert curl(target).body == content
    assert curl("--http1.0", target).body == content
    head = curl("-I", target)
    assert (head.header("Content-Length"), head.header("Accept-Ranges")) == (str(2 * MIB), "bytes")
    part = curl("-r", "1000000-1000999", target)
    assert (part.statuses, part.body) == ([206], content[1_000_000:1_001_000])
    assert part.header("Content-Range") == f"bytes 1000000-1000999/{2 * MIB}"
    assert curl("-r", "-1000", target).body == content[-1000:]
    assert curl("-r", "99999999-", target).statuses == [416]
    begun = tmp_path / "begun.bin"
    begun.write_bytes(content[:1_500_000])
    assert curl("-C", "-", "-o", str(begun), target).statuses == [206]
    assert begun.read_bytes() == content
    tag = head.header("ETag")
    assert curl("-H", f"If-None-Match: {tag}", target).statuses == [304]
    assert curl("-z", head.header("Last-Modified"), target).statuses == [304]
    several = curl(f"{shop_url}/page", f"{shop_url}/count?to=10", "-I", f"{shop_url}/page")
    assert several.statuses == [200, 200, 200]
    assert several.trace.count("Re-using existing connection") == 2


def test_a_browser(shop: Server) -> None:
    with tabs(shop.port) as opened, Tab(shop.port) as ahead:
        page = opened[0].visit("/page")
        assert page.status == 200
        answers = load(opened, [f"/count?to={number}" for number in range(48)])
        assert [answer.body.count(b"\n") for answer in answers] == list(range(48))
        changed = {"If_None_Match": page.headers["etag"], "If_Modified_Since": page.headers["last-modified"]}
        for tab in opened:
            answer = tab.visit("/page", **changed)
            assert (answer.status, answer.headers.get("content-length")) == (304, None)
        # HEAD between others, sent before the first answer is there
        for method in ("HEAD", "GET", "HEAD"):
            opened[1].go("/page", method=method)
        lengths = [opened[1].answer(head=head) for head in (True, False, True)]
        assert {answer.headers["content-length"] for answer in lengths} == {str(len(page.body))}
        assert opened[2].visit("/slow?seconds=0.05").body == b"slow"
        assert {tab.visit("/page").status for tab in [*opened, ahead]} == {200}


def test_large_cookies(shop: Server) -> None:
    with browsing(shop) as client:
        assert len(client.get("/cookies").headers.get_list("set-cookie")) == 10
        assert client.get("/headers").json()["cookies"] == {f"cookie{number}": "x" * 1500 for number in range(10)}
    with Tab(shop.port) as tab:
        assert tab.visit("/page", Cookie="; ".join(f"c{number}={'y' * 3000}" for number in range(12))).status == 431
        assert tab.at_end()


def test_downloads_that_are_broken_off(shop: Server) -> None:
    before = shop.log.count("the stream is closed")
    with tabs(shop.port) as opened:
        for tab in opened:
            tab.go("/large?mib=8")
        for tab in opened:
            assert tab.line() == b"HTTP/1.1 200 OK\r\n"
    shop.wait_for_log("the stream is closed", before + len(opened))
    with Tab(shop.port) as tab:
        assert len(tab.visit("/large?mib=4").body) == 4 * MIB
    assert LEFT.findall(shop.log) == []


def test_a_kept_connection_after_a_while(kept: Tab) -> None:
    assert kept.visit("/count?to=3").body == b"0\n1\n2\n"
