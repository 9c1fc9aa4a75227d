"""wsgi.file_wrapper: which files the kernel sends, and which are read."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving import request, serve_callable

BODY = bytes(range(256)) * 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_bytes(BODY)
    return file


def app(open_file: Callable[[], Any], status: str = "200 OK", headers: Any = ()) -> Callable[..., Any]:
    def application(environ: Any, start_response: Any) -> Any:
        start_response(status, list(headers))
        return environ["wsgi.file_wrapper"](open_file())

    return application


def at(file: Any, position: int) -> Any:
    file.seek(position)
    return file


def temporary(data: bytes) -> Any:
    """Return a temporary file whose data is not flushed yet."""
    file = tempfile.NamedTemporaryFile()  # noqa: SIM115  # the sender closes it
    file.write(data)
    file.file.seek(100)
    file.write(data[100:])
    file.file.seek(100)
    return file


def test_a_regular_file_goes_out_uncopied_and_is_closed(path: Path) -> None:
    for open_file in (lambda: path.open("rb"), lambda: path.open("rb", buffering=0), lambda: path.open("r+b")):
        file = open_file()
        out, keep = serve_callable(app(lambda file=file: file), request())
        assert keep
        assert (out.body, len(out.sends), out.ranges) == (BODY, 2, 1)
        assert out.headers["Content-Length"] == str(len(BODY))
        assert file.closed


def test_a_small_one_goes_out_with_its_head(path: Path) -> None:
    out, _ = serve_callable(app(lambda: at(path.open("rb"), len(BODY) - 100)), request())
    assert (out.body, len(out.sends), out.ranges) == (BODY[-100:], 1, 0)
    assert out.headers["Content-Length"] == "100"


def test_sending_starts_at_the_position_of_the_file(path: Path) -> None:
    def read_a_little() -> Any:
        file = path.open("rb")
        assert file.read(7) == BODY[:7]  # the buffer has read more
        return file

    assert serve_callable(app(read_a_little), request())[0].body == BODY[7:]


def test_a_temporary_file() -> None:
    out, _ = serve_callable(app(lambda: temporary(BODY)), request())
    assert (out.body, out.ranges) == (BODY[100:], 1)


def test_files_that_are_not_regular_are_read(path: Path, tmp_path: Path) -> None:
    """A GzipFile has a fileno, but reads other bytes than its descriptor; files in /proc have size 0."""
    compressed = tmp_path / "file.gz"
    compressed.write_bytes(gzip.compress(BODY))
    reader, writer = os.pipe()
    os.write(writer, b"piped")
    os.close(writer)
    for open_file, body in [
        (lambda: gzip.GzipFile(compressed), BODY),
        (lambda: io.BufferedReader(gzip.GzipFile(compressed)), BODY),
        (lambda: io.BytesIO(BODY), BODY),
        (lambda: os.fdopen(reader, "rb"), b"piped"),
        (lambda: io.FileIO("/proc/self/comm"), Path("/proc/self/comm").read_bytes()),
        (lambda: at(path.open("rb"), len(BODY)), b""),
    ]:
        out, _ = serve_callable(app(open_file), request(version="1.0"))
        assert (out.body, out.ranges) == (body, 0)


def test_the_declared_length_is_kept(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for declared, sent, keep in ((1000, 1000, True), (100_000, 100_000, True), (len(BODY) + 1, len(BODY), False)):
        out, kept = serve_callable(app(lambda: path.open("rb"), headers=[("Content-Length", str(declared))]), request())
        assert (len(out.body), kept) == (sent, keep)
        assert out.headers["Content-Length"] == str(declared)
    assert "1 bytes short of its Content-Length" in caplog.text


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200 OK"), ("GET", "304 Not Modified"), ("GET", "204 No Content")]
)
def test_responses_without_a_body_send_none_of_the_file(path: Path, method: str, status: str) -> None:
    file = path.open("rb")
    out, keep = serve_callable(app(lambda: file, status), request(method=method))
    assert (keep, out.body, out.ranges, file.closed) == (True, b"", 0, True)
    assert out.headers.get("Content-Length") == (str(len(BODY)) if method == "HEAD" else None)


def test_after_a_write_the_file_is_a_chunk(path: Path) -> None:
    def application(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])(b"first")
        return environ["wsgi.file_wrapper"](path.open("rb"))

    out, keep = serve_callable(application, request())
    assert keep
    assert out.body == b"5\r\nfirst\r\n3e800\r\n" + BODY + b"\r\n0\r\n\r\n"
    out, keep = serve_callable(application, request(version="1.0"))
    assert not keep
    assert out.body == b"first" + BODY


def test_without_start_response_it_is_an_error_and_the_file_is_closed(path: Path) -> None:
    file = path.open("rb")
    with pytest.raises(RuntimeError, match="before it called start_response"):
        serve_callable(lambda environ, start_response: environ["wsgi.file_wrapper"](file), request())
    assert file.closed


def test_middleware_can_read_it(path: Path) -> None:
    def application(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return [chunk.upper() for chunk in environ["wsgi.file_wrapper"](io.BytesIO(b"words"), 2)]

    assert serve_callable(application, request())[0].body == b"WORDS"
