"""A folder of files, by GET and HEAD (RFC 9110): conditional and range requests, types, index files, listings."""

from __future__ import annotations

import logging
import os
import re
import secrets
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from time import time
from typing import Annotated, ClassVar
from urllib.parse import quote

from pydantic import Field

from poolctl.errors import AppError
from poolctl.runtime.app import App, Output, Surroundings
from poolctl.runtime.app.static_folder import Found, find
from poolctl.runtime.app.static_pages import listing, page
from poolctl.runtime.app.static_path import decoded, origin, speakable
from poolctl.runtime.app.static_types import Types
from poolctl.runtime.protocol.http_conditions import CONDITIONS, applies, ranges, values, verdict
from poolctl.runtime.protocol.http_request import EMPTY, HttpRequest
from poolctl.runtime.protocol.http_response import HttpResponse

log = logging.getLogger("poolctl")
ALLOWED = ("Allow", "GET, HEAD, OPTIONS")
TEXT = ("Content-Type", "text/plain; charset=utf-8")
HTML = ("Content-Type", "text/html; charset=utf-8")
Headers = list[tuple[str, str]]


@dataclass
class Static(App):
    """Answers with what is in a folder. Nothing outside of it can be reached."""

    protocol: ClassVar[str] = "http"

    folder: Annotated[str, Field(min_length=1, description="the folder, from the working directory on")]
    index: Annotated[tuple[str, ...], Field(description="names that stand for their folder")] = ("index.html",)
    listing: Annotated[bool, Field(description="show the names in a folder without an index")] = False
    hidden: Annotated[bool, Field(description="serve names that begin with a dot")] = False
    types: Annotated[dict[str, str], Field(description="media types by the ending of a name")] = field(
        default_factory=dict
    )
    cache: Annotated[str, Field(description="the Cache-Control of files")] = ""

    def __post_init__(self) -> None:
        """Raises ValueError for what no file or header can be."""
        for name in self.index:
            if not name or name in (".", "..") or "/" in name or "\0" in name:
                raise ValueError(f"index: {name!r} is no name of a file in a folder, such as index.html")
        for ending, kind in self.types.items():
            if not re.fullmatch(r"\.[^./\0]+", ending):
                raise ValueError(f"types: {ending!r} is no ending of a name, such as .txt")
            if not re.fullmatch(r"[!-.0-~]+/[!-.0-~]+( *;[ -~]+)?", kind):
                raise ValueError(f"types: {kind!r} is no media type, such as 'text/plain; charset=latin-1'")
        if not re.fullmatch(r"[ -~]*", self.cache):
            raise ValueError(f"cache: {self.cache!r} cannot be the Cache-Control of a response, as max-age=3600 can")

    def load(self, surroundings: Surroundings) -> None:
        """Look whether the folder is there. Raises AppError."""
        self._folder = os.path.abspath(self.folder)
        self._types = Types(self.types)
        self._index = [os.fsencode(name) for name in self.index]
        if not os.path.isdir(self._folder):
            raise AppError(f"there is no folder {self._folder!r}: the option 'folder' of app static names one")
        if not os.access(self._folder, os.X_OK):
            raise AppError(f"the folder {self._folder!r} cannot be entered by the user that serves it")

    def serve(self, request: HttpRequest, out: Output) -> bool:
        """Answer one request; whether the connection may be kept."""
        response = HttpResponse(request, out)
        if request.body is not EMPTY:
            request.body.close()
        if request.method in ("GET", "HEAD"):
            self._get(request, response)
        elif request.method == "OPTIONS":
            response.begin("204 No Content", [ALLOWED])
            response.only(b"")
        else:
            _tell(response, 405, ALLOWED)
        return response.keep

    def _get(self, request: HttpRequest, response: HttpResponse) -> None:
        path, _, query = origin(request.target).partition(b"?")
        names = path[1:].split(b"/")
        try:
            names = [decoded(name) for name in names]
        except ValueError:
            _tell(response, 400)
            return
        wants_folder = not names[-1]
        if wants_folder:
            names.pop()
        if not all(speakable(name, self.hidden) for name in names):
            _tell(response, 404)
            return
        try:
            found = find(self._folder, names)
            if found is None or (wants_folder and not found.is_folder):
                _close(found)
                _tell(response, 404)
            elif not found.is_folder:
                self._send(found, names[-1], request, response)
            elif not wants_folder:
                _close(found)
                target = "".join(f"/{quote(name)}" for name in names) + "/"
                _tell(response, 301, ("Location", target + (f"?{quote(query, _KEPT)}" if query else "")))
            else:
                self._send_folder(found, names, request, response)
        except PermissionError:
            if response.headed:
                raise
            _tell(response, 403)

    def _send_folder(self, found: Found, names: list[bytes], request: HttpRequest, response: HttpResponse) -> None:
        """Its index, or the names in it. The index is looked for from the top: links are followed as anywhere."""
        try:
            for name in self._index:
                index = find(self._folder, [*names, name])
                if index is not None and not index.is_folder:
                    self._send(index, name, request, response)
                    return
                _close(index)
            if not self.listing:
                _tell(response, 404)
                return
            body = listing(found.file, b"".join(b"/" + name for name in names) + b"/", self.hidden)
            response.begin("200 OK", [HTML])
            response.only(body)
        finally:
            _close(found)

    def _send(self, found: Found, name: bytes, request: HttpRequest, response: HttpResponse) -> None:
        """A file, or what the conditions of the request make of it."""
        file, status = found
        try:
            given = values(request.headers, CONDITIONS)
            tag, changed = f'"{status.st_size:x}-{status.st_mtime_ns:x}"', status.st_mtime_ns // 1_000_000_000
            headers = [("ETag", tag), ("Last-Modified", _date(changed)), ("Accept-Ranges", "bytes")]
            if self.cache:
                headers.append(("Cache-Control", self.cache))
            code = verdict(given, tag, changed) if given else 200
            if code == 304:
                response.begin("304 Not Modified", headers)
                response.only(b"")
                return
            if code == 412:
                _tell(response, 412)
                return
            kind = self._types.of(os.fsdecode(name))
            wanted = given.get(b"range") if request.method == "GET" else None
            parts = None
            if wanted is not None and applies(given.get(b"if-range"), tag, changed, time()):
                parts = ranges(wanted, status.st_size)
            _send_parts(response, file, status.st_size, kind, headers, parts)
            if response.mismatch:
                log.warning("%r changed while it was sent: %s", os.fsdecode(name), response.mismatch)
        finally:
            os.close(file)


def _send_parts(
    response: HttpResponse, file: int, size: int, kind: str, headers: Headers, parts: list[tuple[int, int]] | None
) -> None:
    """The whole file where ``parts`` is None, else these ranges (RFC 9110, 15.3.7)."""
    if parts is None:
        response.begin("200 OK", [*headers, ("Content-Type", kind), ("Content-Length", str(size))])
        response.write_file(file, 0, size)
        response.finish()
    elif not parts:
        _tell(response, 416, ("Content-Range", f"bytes */{size}"))
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
    """A head that will hardly come again: only that of a list is remembered as a whole."""
    response.begin("206 Partial Content", tuple(headers))


_KEPT = "!$&'()*+,;=:@/?%-._~"  # of a query: what it may have (RFC 3986, 3.4)


def _tell(response: HttpResponse, code: int, *headers: tuple[str, str]) -> None:
    """A small text that says the status."""
    text = page(code)
    response.begin(text[:-1].decode(), [TEXT, *headers])
    response.only(text)


@lru_cache(1024)
def _date(seconds: int) -> str:
    """An HTTP-date (RFC 9110, 5.6.7)."""
    return formatdate(seconds, usegmt=True)


def _close(found: Found | None) -> None:
    if found is not None:
        os.close(found.file)
