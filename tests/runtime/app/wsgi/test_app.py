"""WSGI: the environ that the application gets, and how its response is sent."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness.server import Serve
from serving import ALONE, PEER, Given, Sent, request, serve_callable, serve_with

from poolctl.runtime.app.wsgi.environ import template
from poolctl.runtime.protocol.http.protocol import Http
from poolctl.runtime.task import Peer

Start = Callable[..., Any]
HELLO = [("Content-Type", "text/plain"), ("Content-Length", "5")]


def hello(environ: dict[str, Any], start: Serve) -> list[bytes]:
    start("200 OK", HELLO)
    return [b"hello"]


def environ_of(data: bytes) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start: Serve) -> list[bytes]:
        seen.update(environ)
        seen["body"] = environ["wsgi.input"].read()
        return hello(environ, start)

    serve_callable(application, data)
    return seen


def test_one_send_for_head_and_body() -> None:
    out, keep = serve_callable(hello, request())
    assert keep
    assert len(out.sends) == 1
    assert out.head[0] == "HTTP/1.1 200 OK"
    assert out.body == b"hello"
    assert {"Server", "Date", "Content-Type", "Content-Length"} == out.headers.keys()


def test_the_environ() -> None:
    environ = environ_of(
        request("/a%20b/%C3%A9?x=%20", "POST", headers="X-Foo: bar\r\nContent-Type: text/x\r\n", body=b"hi")
    )
    expected = {
        "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/a b/\xc3\xa9", "QUERY_STRING": "x=%20",
        "RAW_URI": "/a%20b/%C3%A9?x=%20", "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_NAME": "192.0.2.2",
        "SERVER_PORT": "8000",
        "REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "40000", "CONTENT_TYPE": "text/x", "CONTENT_LENGTH": "2",
        "HTTP_X_FOO": "bar", "HTTP_HOST": "shop", "body": b"hi", "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
        "wsgi.multithread": False, "wsgi.multiprocess": True, "wsgi.run_once": False, "wsgi.input_terminated": True,
    }  # fmt: skip
    assert {key: environ[key] for key in expected} == expected
    assert "HTTP_CONTENT_TYPE" not in environ


def test_errors_go_to_the_current_stderr() -> None:
    """Code that replaces stderr for a while does not affect later requests, nor does closing wsgi.errors."""
    with contextlib.redirect_stderr(io.StringIO()) as elsewhere:
        errors = environ_of(request())["wsgi.errors"]
        errors.write("there\n")
    with contextlib.redirect_stderr(io.StringIO()) as here:
        errors.writelines(["he", "re\n"])
        errors.flush()
        errors.close()
        assert not errors.closed
        print("after", file=errors)
    assert (elsewhere.getvalue(), here.getvalue()) == ("there\n", "here\nafter\n")


def test_headers_that_could_be_mistaken_for_others_are_dropped() -> None:
    environ = environ_of(request(headers="X_User: root\r\nX-User: me\r\nProxy: evil\r\n"))
    assert environ["HTTP_X_USER"] == "me"
    assert "HTTP_PROXY" not in environ


def test_headers_that_come_twice_are_joined() -> None:
    environ = environ_of(request(headers="X-A: 1\r\nCookie: a=1\r\nx-a: 2\r\ncookie: b=2\r\n"))
    assert environ["HTTP_X_A"] == "1,2"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"


def test_a_request_leaves_nothing_behind_for_the_next() -> None:
    app = Given(hello)
    app.load(ALONE)
    seen: list[dict[str, Any]] = []
    app._calls.application = lambda environ, start: seen.append(environ) or hello(environ, start)
    conversation_data = request("/1", headers="X-A: 1\r\n", method="POST", body=b"x") + request("/2")
    conversation = Http().conversation(PEER)
    conversation.receive(conversation_data)
    for _ in range(2):
        app.serve(conversation.requests.popleft(), Sent())
    assert "HTTP_X_A" not in seen[1]
    assert "CONTENT_LENGTH" not in seen[1]
    assert seen[1]["PATH_INFO"] == "/2"


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        ("http://other:81/p?q", "/p", "q", "other:81"),
        ("http://other", "/", "", "other"),
        ("http://other?q", "/", "q", "other"),
        ("/http://x/y", "/http://x/y", "", "shop"),
        ("/p?a?b", "/p", "a?b", "shop"),
        ("//p", "//p", "", "shop"),
    ],
)
def test_forms_of_the_target(target: str, path: str, query: str, host: str) -> None:
    environ = environ_of(request(target))
    assert (environ["PATH_INFO"], environ["QUERY_STRING"], environ["HTTP_HOST"]) == (path, query, host)


def test_the_target_of_options() -> None:
    assert environ_of(request("*", "OPTIONS"))["PATH_INFO"] == "*"


def test_a_complete_chunked_body_has_a_length() -> None:
    head = request("/", "POST", headers="Transfer-Encoding: chunked\r\n")
    environ = environ_of(head + b"3\r\nabc\r\n0\r\n\r\n")
    assert (environ["CONTENT_LENGTH"], environ["body"]) == ("3", b"abc")
    assert "HTTP_TRANSFER_ENCODING" not in environ


def chunks(environ: dict[str, Any], start: Serve) -> Iterator[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    yield b""
    yield b"one"
    yield b""
    yield b"three"


def test_a_body_without_a_length_is_chunked_and_each_chunk_is_sent_at_once() -> None:
    out, keep = serve_callable(chunks, request())
    assert keep
    assert out.headers["Transfer-Encoding"] == "chunked"
    assert out.body == b"3\r\none\r\n5\r\nthree\r\n0\r\n\r\n"
    assert out.sends[1:] == [b"5\r\nthree\r\n", b"0\r\n\r\n"]


def test_for_http_1_0_a_body_without_a_length_ends_with_the_connection() -> None:
    out, keep = serve_callable(chunks, request(version="1.0", headers="Connection: keep-alive\r\n"))
    assert not keep
    assert "Transfer-Encoding" not in out.headers
    assert out.headers["Connection"] == "close"
    assert out.body == b"onethree"


def test_a_list_gets_its_length() -> None:
    def application(environ: dict[str, Any], start: Serve) -> list[bytes]:
        start("200 OK", [])
        return [b"a", b"", b"bc"]

    out, _ = serve_callable(application, request())
    assert (out.headers["Content-Length"], out.body, len(out.sends)) == ("3", b"abc", 1)


def test_a_large_body_is_not_copied_into_the_head() -> None:
    large = b"x" * 200_000

    def application(environ: dict[str, Any], start: Serve) -> list[bytes]:
        start("200 OK", [("Content-Length", "200000")])
        return [large]

    out, _ = serve_callable(application, request())
    assert out.sends[1] is large


@pytest.mark.parametrize(
    ("version", "header", "last", "keep", "says"),
    [
        ("1.1", "", False, True, None),
        ("1.1", "", True, False, "close"),
        ("1.1", "Connection: close\r\n", False, False, "close"),
        ("1.0", "", False, False, "close"),
        ("1.0", "Connection: keep-alive\r\n", False, True, "keep-alive"),
        ("1.0", "Connection: keep-alive\r\n", True, False, "close"),
    ],
)
def test_when_the_connection_is_kept(version: str, header: str, last: bool, keep: bool, says: str | None) -> None:
    out, kept = serve_callable(hello, request(version=version, headers=header), last)
    assert (kept, out.headers.get("Connection")) == (keep, says)


@pytest.mark.parametrize(
    ("method", "status", "headers", "length"),
    [
        ("HEAD", "200 OK", HELLO, "5"),
        ("HEAD", "200 OK", [], "5"),
        ("GET", "204 No Content", [], None),
        ("GET", "304 Not Modified", [], None),
        ("HEAD", "204 No Content", [], None),
    ],
)
def test_answers_without_a_body(method: str, status: str, headers: Any, length: str | None) -> None:
    def in_list(environ: dict[str, Any], start: Serve) -> list[bytes]:
        start(status, headers)
        return [b"hello"]

    def bit_by_bit(environ: dict[str, Any], start: Serve) -> Iterator[bytes]:
        start(status, headers)
        yield b"hel"
        yield b"lo"

    out, keep = serve_callable(in_list, request(method=method))
    assert (out.body, out.headers.get("Content-Length"), keep) == (b"", length, True)
    out, keep = serve_callable(bit_by_bit, request(method=method))
    assert (out.body, "Transfer-Encoding" in out.headers, keep) == (b"", False, True)


def test_head_of_a_stream_without_a_length_claims_none() -> None:
    out, _ = serve_callable(chunks, request(method="HEAD"))
    assert out.body == b""
    assert "Content-Length" not in out.headers


def test_the_apps_own_server_and_date_are_kept() -> None:
    def application(environ: dict[str, Any], start: Serve) -> list[bytes]:
        start("200 OK", [("server", "mine"), ("date", "then")])
        return []

    out, _ = serve_callable(application, request())
    assert sorted(line.partition(":")[0].lower() for line in out.head[1:]) == ["content-length", "date", "server"]
    assert (out.headers["server"], out.headers["date"]) == ("mine", "then")


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        ("200 OK", [("X-A", "a\r\nX-B: b")], ValueError),
        ("200 OK", [("X-A", "a\nb")], ValueError),
        ("200 OK", [("X-A", "a\0b")], ValueError),
        ("200 OK", [("X-A: a\r\nX-B", "b")], ValueError),
        ("200 OK", [("", "b")], ValueError),
        ("200 OK", [("X-A", "\u20ac")], ValueError),
        ("200 OK", [("X-A", b"b")], TypeError),
        ("200 OK", [("X-A", 1)], TypeError),
        ("200 OK", [["X-A"]], TypeError),
        ("200 OK", [("Connection", "close")], ValueError),
        ("200 OK", [("transfer-encoding", "chunked")], ValueError),
        ("200 OK", [("Upgrade", "h2c")], ValueError),
        ("200 OK", [("TE", "trailers")], ValueError),
        ("200 OK", [("Trailer", "X-A")], ValueError),
        ("200 OK", [("Keep-Alive", "timeout=5")], ValueError),
        ("200 OK", [("Proxy-Authenticate", "Basic")], ValueError),
        ("200 OK", [("Content-Length", "1 2")], ValueError),
        ("200 OK", [("Content-Length", "")], ValueError),
        ("200 OK", [("Content-Length", "5\n")], ValueError),
        ("200 OK", [("Content-Length", "-1")], ValueError),
        ("200 OK", [("Content-Length", "1"), ("Content-Length", "2")], ValueError),
        ("200 OK\r\nX-B: b", [], ValueError),
        ("OK", [], ValueError),
        ("101 Switching Protocols", [], ValueError),
        (200, [], TypeError),
    ],
)
def test_a_head_that_may_not_be_sent(status: Any, headers: Any, error: type[Exception]) -> None:
    def application(environ: dict[str, Any], start: Serve) -> list[bytes]:
        start(status, headers)
        return [b"x"]

    for _ in range(2):  # the memo must not let it through the second time
        with pytest.raises(error):
            serve_callable(application, request())


def body_of_five(*parts: bytes) -> Any:
    def application(environ: dict[str, Any], start: Serve) -> Any:
        start("200 OK", [("Content-Length", "5")])
        return list(parts) if environ["PATH_INFO"] == "/list" else iter(parts)

    return application


@pytest.mark.parametrize("target", ["/list", "/iterator"])
def test_a_body_past_its_length_is_cut_and_reported_once(target: str, caplog: pytest.LogCaptureFixture) -> None:
    app = Given(body_of_five(b"123", b"4567", b"89"))
    app.load(ALONE)
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            out, keep = serve_with(app, request(target))
            assert (out.body, keep) == (b"12345", True)
    assert len(caplog.records) == 1
    assert "longer" in caplog.text


@pytest.mark.parametrize("target", ["/list", "/iterator"])
def test_a_body_short_of_its_length_ends_the_connection(target: str, caplog: pytest.LogCaptureFixture) -> None:
    app = Given(body_of_five(b"123"))
    app.load(ALONE)
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            out, keep = serve_with(app, request(target))
            assert (out.body, keep) == (b"123", False)
    assert len(caplog.records) == 1
    assert "short" in caplog.text


def test_an_empty_body_short_of_its_length_ends_the_connection() -> None:
    for parts in ([], [b""]):
        out, keep = serve_callable(body_of_five(*parts), request("/list"))
        assert (out.body, keep) == (b"", False)
        out, keep = serve_callable(body_of_five(*parts), request())
        assert (out.body, keep) == (b"", False)


def test_write() -> None:
    def application(environ: dict[str, Any], start: Serve) -> list[bytes]:
        write = start("200 OK", [("Content-Length", "6")])
        write(b"one")
        return [b"two"]

    out, keep = serve_callable(application, request())
    assert (out.body, len(out.sends), keep) == (b"onetwo", 2, True)


def test_start_response_again_with_an_error() -> None:
    def application(environ: dict[str, Any], start: Serve) -> list[bytes]:
        start("200 OK", [("X-A", "a")])
        try:
            raise KeyError("x")
        except KeyError:
            start("500 Oh", [("X-B", "b")], sys.exc_info())
        return [b"sorry"]

    out, _ = serve_callable(application, request())
    assert out.head[0] == "HTTP/1.1 500 Oh"
    assert "X-A" not in out.headers


def test_start_response_again_after_a_part_was_sent_raises_the_error() -> None:
    def application(environ: dict[str, Any], start: Serve) -> list[bytes]:
        write = start("200 OK", [])
        write(b"x")
        try:
            raise KeyError("mine")
        except KeyError:
            start("500 Oh", [], sys.exc_info())
        return []

    with pytest.raises(KeyError, match="mine"):
        serve_callable(application, request())


def test_start_response_twice_is_an_error() -> None:
    def application(environ: dict[str, Any], start: Serve) -> list[bytes]:
        start("200 OK", [])
        start("200 OK", [])
        return []

    with pytest.raises(RuntimeError, match="second time"):
        serve_callable(application, request())


@pytest.mark.parametrize("body", [[], [b"x"], iter([b"x"]), iter([])])
def test_no_start_response_is_an_error(body: Any) -> None:
    with pytest.raises(RuntimeError, match="start_response"):
        serve_callable(lambda environ, start: body, request())


@pytest.mark.parametrize("wrap", [list, iter])
def test_a_body_of_str_is_an_error(wrap: Any) -> None:
    def application(environ: dict[str, Any], start: Serve) -> Any:
        start("200 OK", [])
        return wrap(["text"])

    with pytest.raises(TypeError, match="str"):
        serve_callable(application, request())


class Body:
    def __init__(self, parts: list[bytes], error: Exception | None = None) -> None:
        self.parts, self.error, self.closed = parts, error, 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.parts
        if self.error:
            raise self.error

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("error", [None, KeyError("x")])
def test_close_is_called_whatever_happens(method: str, error: Exception | None) -> None:
    body = Body([] if error else [b"a", b"b"], error)

    def application(environ: dict[str, Any], start: Serve) -> Body:
        start("200 OK", [])
        return body

    if error:
        with pytest.raises(KeyError):
            serve_callable(application, request(method=method))
    else:
        serve_callable(application, request(method=method))
    assert body.closed == 1


def test_the_file_wrapper(tmp_path: Any) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content" * 5000)

    def application(environ: dict[str, Any], start: Serve) -> Any:
        start("200 OK", [("Content-Length", "35000")])
        return environ["wsgi.file_wrapper"](path.open("rb"))

    out, keep = serve_callable(application, request())
    assert (out.body, keep) == (b"content" * 5000, True)


def test_many_small_chunks_of_a_long_list_share_sends() -> None:
    parts = [b"%05d" % number for number in range(40_000)]

    def application(environ: dict[str, Any], start: Serve) -> list[bytes]:
        start("200 OK", [])
        return parts

    out, _ = serve_callable(application, request())
    assert out.body == b"".join(parts)
    assert len(out.sends) == 5


@pytest.mark.parametrize("chunks", [[], [b""], [b"hello"], [b"hel", b"lo"]])
@pytest.mark.parametrize("headers", [[], [("Content-Length", "5")], [("Content-Length", " 5\t")]])
@pytest.mark.parametrize("as_list", [True, False])
def test_reset_content_has_no_body(chunks: list[bytes], headers: Any, as_list: bool) -> None:
    """RFC 9110, 15.3.6: no content may be sent, and Content-Length: 0 says so."""

    def application(environ: dict[str, Any], start: Serve) -> Any:
        start("205 Reset Content", headers)
        return chunks if as_list else iter(chunks)

    for version in ("1.1", "1.0"):
        out, keep = serve_callable(application, request(version=version, headers="Connection: keep-alive\r\n"))
        assert (out.headers.get("Content-Length"), out.body, keep) == ("0", b"", True)
        assert "Transfer-Encoding" not in out.headers


@pytest.mark.parametrize("as_list", [True, False])
def test_an_empty_answer_to_head_claims_no_length(as_list: bool) -> None:
    """The length that GET would have is unknown (RFC 9110, 8.6)."""

    def application(environ: dict[str, Any], start: Serve) -> Any:
        start("200 OK", [])
        return [] if as_list else iter(())

    for method, length in (("HEAD", None), ("GET", "0")):
        out, keep = serve_callable(application, request(method=method))
        assert (out.headers.get("Content-Length"), out.body, keep) == (length, b"", True)
        assert "Transfer-Encoding" not in out.headers


def test_white_space_around_a_value_is_removed() -> None:
    def application(environ: dict[str, Any], start: Serve) -> list[bytes]:
        start("200 OK", [("X-A", " a\tb "), ("Content-Length", "\t5 "), ("content-length", "5")])
        return [b"hello"]

    for _ in range(2):
        out, keep = serve_callable(application, request())
        assert b"X-A: a\tb\r\nContent-Length: 5\r\n" in out.sends[0]
        assert (out.body, keep) == (b"hello", True)


def test_no_content_has_no_length_even_when_the_app_says_so() -> None:
    def application(environ: dict[str, Any], start: Serve) -> list[bytes]:
        start("204 No Content", [("Content-Length", "0"), ("X-A", "a")])
        return []

    out, keep = serve_callable(application, request())
    assert keep
    assert "Content-Length" not in out.headers
    assert out.headers["X-A"] == "a"


def test_a_unix_socket_has_a_name_and_a_port() -> None:
    environ = template(Peer("", "", "/run/shop.sock", ""), ALONE)
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("localhost", "80")
