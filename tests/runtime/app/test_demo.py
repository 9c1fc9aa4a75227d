"""The demo app, through the validator of the standard library."""

from __future__ import annotations

import json
import os
import threading
from typing import Any
from wsgiref.validate import validator

import pytest
from serving import request, serve_callable

from poolctl.runtime.app.demo import application

validated = validator(application)


def ask(target: str, **parts: Any) -> Any:
    out, keep = serve_callable(validated, request(target, **parts))
    assert keep
    assert out.headers["X-Process"] == str(os.getpid())
    assert out.headers["X-Worker"] == threading.current_thread().name
    return out


def test_the_greeting_names_the_worker() -> None:
    out = ask("/")
    assert out.head[0] == "HTTP/1.1 200 OK"
    assert str(os.getpid()).encode() in out.body


def test_the_pages() -> None:
    assert ask("/pid").body == b"%d\n" % os.getpid()
    assert ask("/sleep?seconds=0").body == b"slept 0 s\n"
    assert ask("/echo", method="POST", body=b"hi there").body == b"hi there"
    assert json.loads(ask("/environ?a=b").body)["QUERY_STRING"] == "a=b"
    assert ask("/nowhere").head[0] == "HTTP/1.1 404 Not Found"


@pytest.mark.parametrize("count", [0, 1, 65536, 65537, 200_000])
def test_bytes_are_exactly_as_many(count: int) -> None:
    assert ask(f"/bytes?count={count}").body == b"x" * count


def test_chunks_have_no_length() -> None:
    out = ask("/chunks?count=2")
    assert out.headers["Transfer-Encoding"] == "chunked"
    assert out.body == b"8\r\nchunk 0\n\r\n8\r\nchunk 1\n\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "target", ["/sleep?seconds=61", "/sleep?seconds=-1", "/sleep?seconds=nan", "/sleep?seconds=", "/bytes?count=1e9",
               "/chunks?count=x"]
)  # fmt: skip
def test_a_bad_parameter_is_refused_by_name(target: str) -> None:
    out = ask(target)
    assert out.head[0] == "HTTP/1.1 400 Bad Request"
    assert target.partition("?")[2].partition("=")[0].encode() in out.body


def test_an_error_passes_through() -> None:
    with pytest.raises(RuntimeError, match="asked for an error"):
        serve_callable(application, request("/error"))
