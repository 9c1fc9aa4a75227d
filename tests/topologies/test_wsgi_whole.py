"""All that PEP 3333 lets an application do, through the validator, in each ownership; and files that it wraps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from harness.client import Client, get
from harness.served import MODELS
from harness.server import Serve, Server

BIG = Random(5).randbytes(3_000_000)


@pytest.fixture(scope="module", params=MODELS)
def whole_server(serve_once: Serve, request: pytest.FixtureRequest) -> Iterator[Server]:
    """With one worker, so that what it noted can be asked for."""
    model = MODELS[request.param]
    topology = {"name": "whole", "app": {"wsgi": "whole:application"}, **model, "pool": {**model["pool"], "size": 1}}
    made = serve_once(topology, tracebacks=True)
    yield made
    assert made.stop() == 0
    assert "AssertionError" not in made.log
    assert "without being closed" not in made.log


@pytest.fixture(scope="module")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "big"
    path.write_bytes(BIG)
    return path


PAGES = [
    ("write", 200, b"one two three"),
    ("write-only", 200, b"done"),
    ("nothing", 200, b""),
    ("generator", 200, b"0 1 2 3 4 "),
    ("late", 202, b"late"),
    ("length", 200, b"abcdef"),
    ("changed", 503, b"changed"),
    ("none", 204, b""),
]


def test_everything_that_is_valid_is_served(whole_server: Server, big_file: Path) -> None:
    with Client(whole_server.port) as client:
        for page, status, body in PAGES:
            answer = client.get(f"/{page}")
            assert (page, answer.status, answer.body) == (page, status, body)
            client.ask(f"/{page}", method="HEAD")
            assert (page, client.answer(head=True).status) == (page, status)
        client.ask("/echo", method="POST", body=b"a line\nthree\nand\nmore")
        assert client.answer().body == b"a line\nthree\nand\nmore"
        assert client.get(f"/file?{big_file}").body == BIG
        closed = client.get("/bare/closed").body.decode().split()
    assert [path for path in closed if path[1:] in dict.fromkeys(page for page, _, _ in PAGES)] == [
        f"/{page}" for page, _, _ in PAGES for _ in range(2)
    ]
    assert closed[-2:] == ["/echo", "/file"]


def test_errors_are_told_or_cut(whole_server: Server) -> None:
    assert get(whole_server.port, "/error").status == 500
    for page, says in (("error-after", "after the head"), ("too-late", "too late for second thoughts")):
        with Client(whole_server.port) as client, pytest.raises(EOFError):
            client.get(f"/{page}")
        whole_server.wait_for_log(says)
    closed = get(whole_server.port, "/bare/closed").body.decode().split()
    assert {"/error-after", "/too-late"} <= set(closed)


def test_a_wrapped_file_is_sent(whole_server: Server, big_file: Path) -> None:
    with Client(whole_server.port) as client:
        for _ in range(2):
            answer = client.get(f"/bare/file?{big_file}")
            assert (answer.headers["content-length"], answer.body == BIG) == (str(len(BIG)), True)
        client.ask(f"/bare/file?{big_file}", method="HEAD")
        assert client.answer(head=True).headers["content-length"] == str(len(BIG))
        answer = client.get(f"/bare/part?{big_file}&1000000")
        assert answer.body == BIG[10:1_000_010]
        assert client.get("/bare/worker").body == b"hello"
        with pytest.raises(EOFError, match="after 2999990 of 3000000"):
            client.get(f"/bare/part?{big_file}&3000000")
