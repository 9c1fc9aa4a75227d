"""Everything that PEP 3333 lets an application do. Pages below /bare are called as they are, all others through the
validator of the standard library."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any
from wsgiref.validate import validator

TEXT = [("Content-Type", "text/plain")]
closed: list[str] = []


class Closing:
    """An iterable that notes its end."""

    def __init__(self, path: str, chunks: Any) -> None:
        self.path = path
        self.chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.chunks)

    def close(self) -> None:
        closed.append(self.path)


def page_write(environ: Any, start_response: Any) -> Any:
    write = start_response("200 OK", TEXT)
    write(b"one ")
    write(b"two ")
    return [b"three"]


def page_write_only(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [*TEXT, ("Content-Length", "4")])(b"done")
    return []


def page_nothing(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", TEXT)
    return []


def page_generator(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", TEXT)
    return (b"%d " % number for number in range(5))


def page_late(environ: Any, start_response: Any) -> Iterator[bytes]:
    """The head comes with the first chunk."""
    start_response("202 Accepted", TEXT)
    yield b"late"


def page_length(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [*TEXT, ("Content-Length", "6")])
    return iter([b"", b"abc", b"", b"def"])


def page_changed(environ: Any, start_response: Any) -> Any:
    """A status that was not sent yet gives way to that of an error."""
    start_response("200 OK", TEXT)
    try:
        raise ValueError("on second thoughts")
    except ValueError:
        start_response("503 Service Unavailable", TEXT, sys.exc_info())
    return [b"changed"]


def page_too_late(environ: Any, start_response: Any) -> Iterator[bytes]:
    """One that was sent does not."""
    start_response("200 OK", TEXT)
    yield b"begun"
    try:
        raise ValueError("too late for second thoughts")
    except ValueError:
        start_response("503 Service Unavailable", TEXT, sys.exc_info())
    yield b"never"


def page_error(environ: Any, start_response: Any) -> Any:
    raise RuntimeError("before the head")


def page_error_after(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", TEXT)
    yield b"begun"
    raise RuntimeError("after the head")


def page_echo(environ: Any, start_response: Any) -> Any:
    source = environ["wsgi.input"]
    parts = [source.readline(), source.read(3), *source.readlines()]
    start_response("200 OK", TEXT)
    return parts


def page_none(environ: Any, start_response: Any) -> Any:
    start_response("204 No Content", [])
    return []


def page_file(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", TEXT)
    file = open(environ["QUERY_STRING"], "rb")  # noqa: SIM115  # whoever sends it closes it
    return environ["wsgi.file_wrapper"](file)


def page_part(environ: Any, start_response: Any) -> Any:
    """From the position of the file on, as far as the length says."""
    path, _, length = environ["QUERY_STRING"].partition("&")
    start_response("200 OK", [*TEXT, ("Content-Length", length)])
    file = open(path, "rb")  # noqa: SIM115  # likewise
    file.read(10)
    return environ["wsgi.file_wrapper"](file, 1 << 16)


def page_closed(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", TEXT)
    return [" ".join(closed).encode()]


def page_huge(environ: Any, start_response: Any) -> Any:
    """64 MiB that are made as they are asked for."""
    start_response("200 OK", [*TEXT, ("Content-Length", str(64 << 20))])
    return (b"%016x" % number * 4096 for number in range(1024))


def page_worker(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", TEXT)
    return [b"hello"]


def find(environ: Any, start_response: Any) -> Any:
    path = environ["PATH_INFO"]
    page = globals()["page_" + path.rpartition("/")[2].replace("-", "_")]
    result = page(environ, start_response)
    return result if path.startswith("/bare/") else Closing(path, result)


checked = validator(find)


def application(environ: Any, start_response: Any) -> Any:
    bare = environ["PATH_INFO"].startswith("/bare/")
    return (find if bare else checked)(environ, start_response)
