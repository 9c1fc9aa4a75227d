"""A folder of files, by GET and HEAD (RFC 9110): conditional and range requests, types, index files, listings."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from time import time
from typing import Annotated, ClassVar
from urllib.parse import quote

from pydantic import Field

from poolctl.errors import AppError
from poolctl.runtime.app import App, Surroundings
from poolctl.runtime.app.static.folder import Found, find
from poolctl.runtime.app.static.pages import listing, tell
from poolctl.runtime.app.static.parts import send_parts
from poolctl.runtime.app.static.path import decoded, origin, speakable
from poolctl.runtime.app.static.private import Private
from poolctl.runtime.app.static.types import Types
from poolctl.runtime.protocol.http.conditions import CONDITIONS, applies, ranges, values, verdict
from poolctl.runtime.protocol.http.encodings import accepted
from poolctl.runtime.protocol.http.request import EMPTY, HttpRequest
from poolctl.runtime.protocol.http.response import HttpResponse
from poolctl.runtime.protocol.output import Output

log = logging.getLogger("poolctl")
ALLOWED = ("Allow", "GET, HEAD, OPTIONS")
HTML = ("Content-Type", "text/html; charset=utf-8")
ENCODING = frozenset((b"accept-encoding",))
ENDINGS = {"br": b".br", "gzip": b".gz"}  # of files that are compressed, by content coding; the best first


@dataclass
class Static(App):
    """Answers with what is in a folder. Nothing outside of it can be reached."""

    protocol: ClassVar[str] = "http"

    folder: Annotated[str, Field(min_length=1, description="the folder, from that of the file on")]
    index: Annotated[tuple[str, ...], Field(description="names that stand for their folder")] = ("index.html",)
    listing: Annotated[bool, Field(description="show the names in a folder without an index")] = False
    hidden: Annotated[bool, Field(description="serve names that begin with a dot")] = False
    types: Annotated[dict[str, str], Field(description="media types by the ending of a name")] = field(
        default_factory=dict
    )
    precompressed: Annotated[
        bool, Field(description="send name.br or name.gz beside a name to clients that accept it")
    ] = False
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
        self._private = Private(surroundings.private, surroundings.is_topology)
        self._types = Types(self.types)
        self._index = [os.fsencode(name) for name in self.index]
        if os.path.isfile(self._folder):
            raise AppError(f"{self._folder!r} is a file, but app static serves a folder; name the folder that it is in")
        if not os.path.isdir(self._folder):
            raise AppError(f"there is no folder {self._folder!r}; create it, or name another")
        if not os.access(self._folder, os.X_OK):
            raise AppError(
                f"the folder {self._folder!r} cannot be entered by the user that serves it; chmod o+x {self._folder}"
            )

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
            tell(response, 405, ALLOWED)
        return response.keep

    def _get(self, request: HttpRequest, response: HttpResponse) -> None:
        path, _, query = origin(request.target).partition(b"?")
        names = path[1:].split(b"/")
        try:
            names = [decoded(name) for name in names]
        except ValueError:
            tell(response, 400)
            return
        wants_folder = not names[-1]
        if wants_folder:
            names.pop()
        if not all(speakable(name, self.hidden) for name in names):
            tell(response, 404)
            return
        try:
            found = self._find(names)
            if found is None or (wants_folder and not found.is_folder):
                _close(found)
                tell(response, 404)
            elif not found.is_folder:
                self._send(found, names, request, response)
            elif not wants_folder:
                _close(found)
                target = "".join(f"/{quote(name)}" for name in names) + "/"
                tell(response, 301, ("Location", target + (f"?{quote(query, _KEPT)}" if query else "")))
            else:
                self._send_folder(found, names, request, response)
        except PermissionError:
            if response.headed:
                raise
            tell(response, 403)

    def _find(self, names: list[bytes]) -> Found | None:
        """What is at these names and may be published."""
        found = find(self._folder, names)
        if found is not None and self._private.has(names[-1] if names else b"", found.status, found.file):
            _close(found)
            return None
        return found

    def _send_folder(self, found: Found, names: list[bytes], request: HttpRequest, response: HttpResponse) -> None:
        """Its index, or the names in it. The index is looked for from the top: links are followed as anywhere."""
        try:
            for name in self._index:
                index = self._find([*names, name])
                if index is not None and not index.is_folder:
                    self._send(index, [*names, name], request, response)
                    return
                _close(index)
            if not self.listing:
                tell(response, 404)
                return
            body = listing(found.file, b"".join(b"/" + name for name in names) + b"/", self.hidden, self._private)
            response.begin("200 OK", [HTML])
            response.only(body)
        finally:
            _close(found)

    def _send(self, found: Found, names: list[bytes], request: HttpRequest, response: HttpResponse) -> None:
        """A file, or what the conditions of the request make of it."""
        coding = ""
        if self.precompressed:
            found, coding = self._encoded(found, names, request)
        file, status = found
        try:
            given = values(request.headers, CONDITIONS)
            tag, changed = f'"{status.st_size:x}-{status.st_mtime_ns:x}{coding}"', status.st_mtime_ns // 1_000_000_000
            headers = [("ETag", tag), ("Last-Modified", _date(changed)), ("Accept-Ranges", "bytes")]
            if self.cache:
                headers.append(("Cache-Control", self.cache))
            if self.precompressed:
                headers.append(("Vary", "Accept-Encoding"))
            code = verdict(given, tag, changed) if given else 200
            if code == 304:
                response.begin("304 Not Modified", headers)
                response.only(b"")
                return
            if code == 412:
                tell(response, 412)
                return
            if coding:
                headers.append(("Content-Encoding", coding))
            kind = self._types.of(os.fsdecode(names[-1]))
            wanted = given.get(b"range") if request.method == "GET" else None
            parts = None
            if wanted is not None and applies(given.get(b"if-range"), tag, changed, time()):
                parts = ranges(wanted, status.st_size)
                if coding and parts and len(parts) > 1:
                    parts = None  # the coding would be said of the multipart, not of its parts
            send_parts(response, file, status.st_size, kind, headers, parts)
            if response.mismatch:
                log.warning("%r changed while it was sent: %s", os.fsdecode(names[-1]), response.mismatch)
        finally:
            os.close(file)

    def _encoded(self, found: Found, names: list[bytes], request: HttpRequest) -> tuple[Found, str]:
        """The file beside it that is the same compressed, if the client takes it, and its coding; else this one."""
        field = values(request.headers, ENCODING).get(b"accept-encoding", "")
        for coding in accepted(field, list(ENDINGS)):
            try:
                other = self._find([*names[:-1], names[-1] + ENDINGS[coding]])
            except PermissionError:
                continue  # as if it were not there
            except OSError:
                _close(found)
                raise
            if other is not None and not other.is_folder:
                _close(found)
                return other, coding
            _close(other)
        return found, ""


_KEPT = "!$&'()*+,;=:@/?%-._~"  # of a query: what it may have (RFC 3986, 3.4)


@lru_cache(1024)
def _date(seconds: int) -> str:
    """An HTTP-date (RFC 9110, 5.6.7)."""
    return formatdate(seconds, usegmt=True)


def _close(found: Found | None) -> None:
    if found is not None:
        os.close(found.file)
