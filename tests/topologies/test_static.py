"""The app static over real sockets: what it serves, in each ownership, and what it never does."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from email.utils import formatdate
from pathlib import Path
from random import Random

import pytest
from harness.client import Client, Response
from harness.forms import half, short
from harness.launcher import LaunchedServer
from harness.machine import PATIENCE
from harness.served import MODELS
from harness.server import Serve, Server

BIG = Random(3).randbytes(3_000_000)
SECRET = b"nobody may see this"


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder, with traps beside it and in it."""
    above = tmp_path_factory.mktemp("static")
    (above / "secret.txt").write_bytes(SECRET)
    (above / "public-not").mkdir()
    (above / "public-not" / "secret.txt").write_bytes(SECRET)
    folder = above / "public"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "a.txt").write_bytes(b"0123456789")
    (folder / "big.bin").write_bytes(BIG)
    (folder / "none.css").write_bytes(b"")
    (folder / "deep" / "index.html").write_bytes(b"<p>deep")
    (folder / "deep" / "er" / "ü & <b>.TAR.gz").write_bytes(b"gz")
    (folder / ".env").write_bytes(SECRET)
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_bytes(SECRET)
    (folder / ".well-known").mkdir()
    (folder / ".well-known" / "security.txt").write_bytes(b"Contact: mailto:x@shop.example\n")
    (folder / "back\\slash.txt").write_bytes(SECRET)
    os.mkfifo(folder / "fifo")
    for name, target in {
        "link.txt": "deep/../a.txt",
        "deep/er/up.txt": "../../a.txt",
        "folder-link": "deep",
        "out.txt": "../secret.txt",
        "deep/out.txt": "../../secret.txt",
        "out": "..",
        "absolute.txt": str(above / "secret.txt"),
        "device": "/dev/zero",
        "loop": "loop",
        "dangling": "nowhere",
    }.items():
        (folder / name).symlink_to(target)
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.getcwd()
        os.chdir(folder)  # the name of a unix socket is short
        try:
            sock.bind("socket")
        finally:
            os.chdir(here)
    return folder


def serve_files(serve: Serve, folder: Path, model: str, **options: object) -> Server:
    return serve({"name": "files", "app": {"static": str(folder), **options}, **MODELS[model]})


@pytest.fixture(scope="module")
def static_server(serve_once: Serve, public: Path) -> Server:
    return serve_files(serve_once, public, "half-sync/half-reactive", cache="max-age=60")


def ask(server: Server, target: str = "/a.txt", method: str = "GET", **headers: str) -> Response:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    with Client(server.port) as client:
        client.send("\r\n".join([f"{method} {target} HTTP/1.1", "Host: shop", *lines, "", ""]).encode("latin-1"))
        return client.answer(head=method == "HEAD")


@pytest.mark.parametrize("model", short(MODELS, half(MODELS, 1)))
def test_every_ownership_serves_files(serve: Serve, public: Path, model: str) -> None:
    server = serve_files(serve, public, model)
    with Client(server.port) as client:
        assert client.get("/a.txt").body == b"0123456789"
        assert client.get("/big.bin").body == BIG
        client.ask("/big.bin", method="HEAD")
        assert client.answer(head=True).headers["content-length"] == str(len(BIG))
        client.send(b"GET /big.bin HTTP/1.1\r\nHost: shop\r\nRange: bytes=5-9,1000000-2999999\r\n\r\n")
        answer = client.answer()
        boundary = answer.headers["content-type"].partition("boundary=")[2].encode()
        parts = [part.partition(b"\r\n\r\n")[2] for part in answer.body.split(b"\r\n--" + boundary)]
        assert parts == [b"", BIG[5:10], BIG[1_000_000:], b""]
        assert client.get("/nowhere").status == 404
        assert client.get("/deep/").body == b"<p>deep"
        assert server.stop() == 0


# What a file is sent with


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("/a.txt", "text/plain; charset=utf-8"),
        ("/none.css", "text/css; charset=utf-8"),
        ("/big.bin", "application/octet-stream"),
        ("/deep/", "text/html; charset=utf-8"),
        ("/deep/er/%C3%BC%20&%20%3Cb%3E.TAR.gz", "application/gzip"),
    ],
)
def test_types(static_server: Server, target: str, kind: str) -> None:
    answer = ask(static_server, target)
    assert (answer.status, answer.headers["content-type"]) == (200, kind)
    assert answer.headers["cache-control"] == "max-age=60"


def test_an_empty_file(static_server: Server) -> None:
    answer = ask(static_server, "/none.css", Range="bytes=0-0")
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "0", b"")


def test_head_is_get_without_the_body(static_server: Server) -> None:
    got, head = ask(static_server), ask(static_server, method="HEAD")
    assert head.body == b""
    assert {**head.headers, "date": ""} == {**got.headers, "date": ""}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"])
def test_other_methods_are_refused(static_server: Server, method: str) -> None:
    answer = ask(static_server, method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize("target", ["/a.txt", "*"])
def test_options(static_server: Server, target: str) -> None:
    answer = ask(static_server, target, "OPTIONS")
    assert (answer.status, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


def test_the_body_of_a_request_is_passed_over(static_server: Server) -> None:
    with Client(static_server.port) as client:
        client.ask("/a.txt", body=b"x" * 300_000)
        assert client.answer().body == b"0123456789"
        assert client.get("/a.txt").status == 200


def test_a_folder_has_a_slash(static_server: Server) -> None:
    answer = ask(static_server, "/deep/er?a=%0d&b")
    assert (answer.status, answer.headers["location"]) == (301, "/deep/er/?a=%0d&b")
    assert ask(static_server, "http://shop/deep").headers["location"] == "/deep/"
    assert ask(static_server, "/folder-link").headers["location"] == "/folder-link/"


def test_a_file_has_none(static_server: Server) -> None:
    assert ask(static_server, "/a.txt/").status == 404
    assert ask(static_server, "/a.txt/b").status == 404


# Conditions and ranges


def test_conditions(static_server: Server) -> None:
    first = ask(static_server)
    tag, date = first.headers["etag"], first.headers["last-modified"]
    assert re.fullmatch(r'"[0-9a-f]+-[0-9a-f]+"', tag)
    unchanged = ask(static_server, If_None_Match=f'"other", W/{tag}')
    assert (unchanged.status, unchanged.headers["etag"], unchanged.headers["cache-control"]) == (304, tag, "max-age=60")
    assert "content-length" not in unchanged.headers
    assert ask(static_server, If_None_Match='"other"', If_Modified_Since=date).status == 200
    assert ask(static_server, If_Modified_Since=date).status == 304
    assert ask(static_server, If_Match='"other"').status == 412
    assert ask(static_server, If_Match=tag, If_Unmodified_Since=formatdate(0, usegmt=True)).status == 200
    assert ask(static_server, If_Unmodified_Since=formatdate(0, usegmt=True)).status == 412


@pytest.mark.parametrize(
    ("asked", "status", "content", "body"),
    [
        ("bytes=0-0", 206, "bytes 0-0/10", b"0"),
        ("bytes=7-", 206, "bytes 7-9/10", b"789"),
        ("bytes=-3", 206, "bytes 7-9/10", b"789"),
        ("bytes=-99", 206, "bytes 0-9/10", b"0123456789"),
        ("bytes=8-99", 206, "bytes 8-9/10", b"89"),
        ("bytes=99-,4-4", 206, "bytes 4-4/10", b"4"),
        ("bytes=10-", 416, "bytes */10", b"416 Range Not Satisfiable\n"),
        ("bytes=-0", 416, "bytes */10", b"416 Range Not Satisfiable\n"),
        ("bytes=5-4", 200, None, b"0123456789"),
        ("lines=1-2", 200, None, b"0123456789"),
        ("bytes=0-5,0-5", 200, None, b"0123456789"),
    ],
)
def test_ranges(static_server: Server, asked: str, status: int, content: str | None, body: bytes) -> None:
    answer = ask(static_server, Range=asked)
    assert (answer.status, answer.headers.get("content-range"), answer.body) == (status, content, body)


def test_a_range_holds_only_for_the_version_it_was_asked_of(static_server: Server) -> None:
    tag = ask(static_server).headers["etag"]
    assert ask(static_server, Range="bytes=0-1", If_Range=tag).status == 206
    assert ask(static_server, Range="bytes=0-1", If_Range='"other"').status == 200
    assert ask(static_server, Range="bytes=0-1", If_Range=f"W/{tag}").status == 200
    assert ask(static_server, Range="bytes=0-1", method="HEAD").status == 200


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_goes_on_where_a_download_broke_off(static_server: Server, tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(BIG[:1_234_567])
    url = f"http://127.0.0.1:{static_server.port}/big.bin"
    subprocess.run(["curl", "-sS", "-C", "-", "-o", str(part), url], check=True, timeout=PATIENCE)
    assert part.read_bytes() == BIG


# No way out

TRAVERSALS = [
    "/../secret.txt",
    "/deep/../../secret.txt",
    "/deep/../a.txt",
    "/./a.txt",
    "/..",
    "/%2e%2e/secret.txt",
    "/%2E%2e/secret.txt",
    "/.%2e/secret.txt",
    "/%2e%2e%2fsecret.txt",
    "/..%2fsecret.txt",
    "/deep%2f..%2f..%2fsecret.txt",
    "/deep%2findex.html",
    "/%252e%252e/secret.txt",
    "/..%5csecret.txt",
    "/..\\secret.txt",
    "/back%5cslash.txt",
    "/a.txt%00",
    "/a.txt%00.html",
    "/%00",
    "//secret.txt",
    "///etc/passwd",
    "//",
    "/deep//index.html",
    "/public-not/secret.txt",
    "/../public-not/secret.txt",
    "/%c0%ae%c0%ae/secret.txt",
    "/%e0%80%ae%e0%80%ae/secret.txt",
    "/..;/secret.txt",
    "/.../secret.txt",
    "/.env",
    "/%2eenv",
    "/.git/config",
    "/deep/.env",
    "/out.txt",
    "/out/secret.txt",
    "/out/",
    "/out/public/a.txt",
    "/deep/out.txt",
    "/absolute.txt",
    "/device",
    "/fifo",
    "/socket",
    "/loop",
    "/loop/a.txt",
    "/dangling",
    "/" + "a" * 300,
    "/" + "deep/" * 300,
    "http://shop/../secret.txt",
    "http://../secret.txt",
]


def test_nothing_leads_out_of_the_folder(static_server: Server) -> None:
    """Over one connection, each as raw bytes: no client tidies them up."""
    with Client(static_server.port) as client:
        for target in TRAVERSALS:
            client.send(f"GET {target} HTTP/1.1\r\nHost: shop\r\n\r\n".encode())
            answer = client.answer()
            assert (target, answer.status) == (target, 404)
            assert SECRET not in answer.body


@pytest.mark.parametrize("target", ["/%", "/%2", "/%zz", "/a%.txt", "/%+1"])
def test_what_is_no_path_is_refused(static_server: Server, target: str) -> None:
    assert ask(static_server, target).status == 400


@pytest.mark.parametrize("target", ["/link.txt", "/deep/er/up.txt", "/folder-link/er/up.txt"])
def test_a_link_inside_is_followed(static_server: Server, target: str) -> None:
    assert ask(static_server, target).body == b"0123456789"


def test_what_is_meant_for_everybody_is_shown(static_server: Server) -> None:
    assert ask(static_server, "/.well-known/security.txt").status == 200


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_forbidden(static_server: Server, public: Path) -> None:
    file = public / "closed.txt"
    file.write_bytes(SECRET)
    file.chmod(0)
    assert ask(static_server, "/closed.txt").status == 403


# Options


def test_listing_types_and_hidden_names(serve: Serve, public: Path) -> None:
    options = {"listing": True, "hidden": True, "index": [], "types": {".txt": "text/x-note", ".gz": "application/x-y"}}
    server = serve_files(serve, public, "reuse-port", **options)
    page = ask(server, "/deep/er/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<title>/deep/er/</title>" in page.body.decode()
    shown = '<a href="./%C3%BC%20%26%20%3Cb%3E.TAR.gz">ü &amp; &lt;b&gt;.TAR.gz</a>'
    assert shown in page.body.decode()
    names = re.findall(r'href="\./([^"]+)"', ask(server, "/").body.decode())
    assert names == sorted(names)
    assert {".env", ".git/", "deep/", "a.txt", "folder-link"} < set(names)
    assert ask(server, "/deep/").body != b"<p>deep"
    assert ask(server, "/a.txt").headers["content-type"] == "text/x-note; charset=utf-8"
    assert ask(server, "/.env").body == SECRET
    assert ask(server, "/../secret.txt").status == 404
    assert server.stop() == 0


def test_compressed_siblings(serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    files = {"app.js": b"plain", "app.js.gz": b"gzipped!", "app.js.br": b"brotlied"}
    files |= {"index.html": b"index", "index.html.gz": b"gz"}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    server = serve_files(serve, folder, "half-sync/half-reactive", precompressed=True)
    tags = set()
    for encoding, body, coding in [
        ("gzip", b"gzipped!", "gzip"),
        ("gzip, br", b"brotlied", "br"),
        ("br;q=0.1, gzip", b"gzipped!", "gzip"),
        ("identity", b"plain", None),
    ]:
        answer = ask(server, "/app.js", Accept_Encoding=encoding)
        assert (answer.body, answer.headers.get("content-encoding")) == (body, coding)
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        assert answer.headers["vary"] == "Accept-Encoding"
        tag = answer.headers["etag"]
        tags.add(tag)
        again = ask(server, "/app.js", Accept_Encoding=encoding, If_None_Match=tag)
        assert (again.status, again.headers["vary"]) == (304, "Accept-Encoding")
    assert len(tags) == 3
    part = ask(server, "/app.js", Accept_Encoding="gzip", Range="bytes=1-2")
    assert (part.status, part.body, part.headers["content-encoding"]) == (206, b"zi", "gzip")
    assert ask(server, "/app.js", Accept_Encoding="gzip", Range="bytes=0-0,2-2").status == 200
    assert ask(server, "/", Accept_Encoding="gzip").body == b"gz"
    assert ask(server, "/app.js.gz", Accept_Encoding="gzip").headers["content-type"] == "application/gzip"


def test_a_folder_without_index_shows_nothing(static_server: Server) -> None:
    assert ask(static_server, "/empty/").status == 404


def test_the_folder_can_be_replaced_as_a_whole(serve: Serve, tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"release-{number}").mkdir()
        (tmp_path / f"release-{number}" / "index.html").write_text(str(number))
    current = tmp_path / "current"
    current.symlink_to("release-1")
    server = serve_files(serve, current, "leader/followers")
    assert ask(server, "/").body == b"1"
    (tmp_path / "next").symlink_to("release-2")
    (tmp_path / "next").rename(current)
    assert ask(server, "/").body == b"2"


def test_a_folder_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    topology = {"app": {"static": "nowhere"}, "ownership": "reuse-port"}
    with LaunchedServer(topology, tmp_path) as server:
        server.wait_for_log(r"there is no folder '.*nowhere'")
        assert server.wait() == 3
