"""Responses with a whole file, or with ranges of it (RFC 9110, 15.3.7)."""

from __future__ import annotations

import secrets

from poolctl.runtime.app.static.pages import send_status
from poolctl.runtime.protocol.http.response import HttpResponse

Headers = list[tuple[str, str]]


def send_parts(
    response: HttpResponse, file: int, size: int, kind: str, headers: Headers, parts: list[tuple[int, int]] | None
) -> None:
    """Send the ranges (offset, count) of a file, or the whole file if ``parts`` is None (RFC 9110, 15.3.7)."""
    if parts is None:
        response.begin("200 OK", [*headers, ("Content-Type", kind), ("Content-Length", str(size))])
        response.write_file(file, 0, size)
        response.finish()
    elif not parts:
        send_status(response, 416, ("Content-Range", f"bytes */{size}"))
    elif len(parts) == 1:
        ((offset, count),) = parts
        content = ("Content-Range", f"bytes {offset}-{offset + count - 1}/{size}")
        _begin(response, [*headers, ("Content-Type", kind), content, ("Content-Length", str(count))])
        response.write_file(file, offset, count)
        response.finish()
    else:
        boundary = secrets.token_hex(16)
        heads = [
            f"\r\n--{boundary}\r\nContent-Type: {kind}\r\n"
            f"Content-Range: bytes {offset}-{offset + count - 1}/{size}\r\n\r\n".encode("latin-1")
            for offset, count in parts
        ]
        end = f"\r\n--{boundary}--\r\n".encode()
        length = sum(map(len, heads)) + sum(count for _, count in parts) + len(end)
        multipart = ("Content-Type", f"multipart/byteranges; boundary={boundary}")
        _begin(response, [*headers, multipart, ("Content-Length", str(length))])
        for head, (offset, count) in zip(heads, parts, strict=True):
            response.write(head)
            response.write_file(file, offset, count)
        response.write(end)
        response.finish()


def _begin(response: HttpResponse, headers: Headers) -> None:
    """Begin a partial response. Headers in a tuple are not memoized as a whole, as those of ranges rarely repeat."""
    response.begin("206 Partial Content", tuple(headers))
