"""Serving a folder of files by GET and HEAD (RFC 9110): conditions, ranges, media types, index files, listings."""

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
from poolctl.runtime.app.static.pages import listing, send_status
from poolctl.runtime.app.static.parts import send_parts
from poolctl.runtime.app.static.path import decoded, may_be_served, origin
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
ACCEPT_ENCODING = frozenset((b"accept-encoding",))
ENDINGS = {"br": b".br", "gzip": b".gz"}  # of compressed files, by content coding, best first


@dataclass
class Static(App):
    """Serves the files of a folder. Nothing outside it can be reached."""

    protocol: ClassVar[str] = "http"

    folder: Annotated[str, Field(min_length=1, description="folder with the files, relative to the topology's folder")]
    index: Annotated[tuple[str, ...], Field(description="files to serve in place of their folder")] = ("index.html",)
    listing: Annotated[bool, Field(description="list the contents of folders without an index file")] = False
    hidden: Annotated[bool, Field(description="serve files and folders whose names begin with a dot")] = False
    types: Annotated[dict[str, str], Field(description="media types by file name extension")] = field(
        default_factory=dict
    )
    precompressed: Annotated[
        bool, Field(description="serve FILE.br or FILE.gz in place of FILE to clients that accept it")
    ] = False
    cache: Annotated[str, Field(description="Cache-Control header of files")] = ""

    def __post_init__(self) -> None:
        """Raises ValueError if an option cannot be used as a file name or in a header."""
        for name in self.index:
            if not name or name in (".", "..") or "/" in name or "\0" in name:
                raise ValueError(f"index: {name!r} is not a file name such as index.html")
        for ending, kind in self.types.items():
            if not re.fullmatch(r"\.[^./\0]+", ending):
                raise ValueError(f"types: {ending!r} is not a file name extension such as .txt")
            if not re.fullmatch(r"[!-.0-~]+/[!-.0-~]+( *;[ -~]+)?", kind):
                raise ValueError(f"types: {kind!r} is not a media type such as 'text/plain; charset=latin-1'")
        if not re.fullmatch(r"[ -~]*", self.cache):
            raise ValueError(f"cache: {self.cache!r} is not a Cache-Control value such as max-age=3600")

    def load(self, surroundings: Surroundings) -> None:
        """Check that the folder exists and can be entered. Raises AppError."""
        self._folder = os.path.abspath(self.folder)
        self._private = Private(surroundings.private, surroundings.is_topology)
        self._types = Types(self.types)
        self._index = [os.fsencode(name) for name in self.index]
        if os.path.isfile(self._folder):
            raise AppError(f"{self._folder!r} is a file, but static serves a folder; name the folder that contains it")
        if not os.path.isdir(self._folder):
            raise AppError(f"there is no folder {self._folder!r}; create it, or name another")
        if not os.access(self._folder, os.X_OK):
            raise AppError(f"the server's user cannot enter the folder {self._folder!r}; chmod o+x {self._folder}")

    def serve(self, request: HttpRequest, out: Output) -> bool:
        """Answer one request. Return whether the connection may be kept."""
        response = HttpResponse(request, out)
        if request.body is not EMPTY:
            request.body.close()
        if request.method in ("GET", "HEAD"):
            self._get(request, response)
        elif request.method == "OPTIONS":
            response.begin("204 No Content", [ALLOWED])
            response.only(b"")
        else:
            send_status(response, 405, ALLOWED)
        return response.keep

    def _get(self, request: HttpRequest, response: HttpResponse) -> None:
        path, _, query = origin(request.target).partition(b"?")
        names = path[1:].split(b"/")
        try:
            names = [decoded(name) for name in names]
        except ValueError:
            send_status(response, 400)
            return
        wants_folder = not names[-1]
        if wants_folder:
            names.pop()
        if not all(may_be_served(name, self.hidden) for name in names):
            send_status(response, 404)
            return
        try:
            found = self._find(names)
            if found is None or (wants_folder and not found.is_folder):
                _close(found)
                send_status(response, 404)
            elif not found.is_folder:
                self._send(found, names, request, response)
            elif not wants_folder:
                _close(found)
                target = "".join(f"/{quote(name)}" for name in names) + "/"
                send_status(response, 301, ("Location", target + (f"?{quote(query, _KEPT)}" if query else "")))
            else:
                self._send_folder(found, names, request, response)
        except PermissionError:
            if response.headed:
                raise
            send_status(response, 403)

    def _find(self, names: list[bytes]) -> Found | None:
        """Return the file or folder at this path; None if there is none, or it must not be published."""
        found = find(self._folder, names)
        if found is not None and self._private.has(names[-1] if names else b"", found.status, found.file):
            _close(found)
            return None
        return found

    def _send_folder(self, found: Found, names: list[bytes], request: HttpRequest, response: HttpResponse) -> None:
        """Send the index of a folder, or its listing. The index is looked up from the top, so that links in its path
        are followed as in any other."""
        try:
            for name in self._index:
                index = self._find([*names, name])
                if index is not None and not index.is_folder:
                    self._send(index, [*names, name], request, response)
                    return
                _close(index)
            if not self.listing:
                send_status(response, 404)
                return
            body = listing(found.file, b"".join(b"/" + name for name in names) + b"/", self.hidden, self._private)
            response.begin("200 OK", [HTML])
            response.only(body)
        finally:
            _close(found)

    def _send(self, found: Found, names: list[bytes], request: HttpRequest, response: HttpResponse) -> None:
        """Send a file, or the response that the conditions of the request ask for."""
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
                send_status(response, 412)
                return
            if coding:
                headers.append(("Content-Encoding", coding))
            kind = self._types.of(os.fsdecode(names[-1]))
            wanted = given.get(b"range") if request.method == "GET" else None
            parts = None
            if wanted is not None and applies(given.get(b"if-range"), tag, changed, time()):
                parts = ranges(wanted, status.st_size)
                if coding and parts and len(parts) > 1:
                    parts = None  # Content-Encoding would apply to the multipart, not to its parts
            send_parts(response, file, status.st_size, kind, headers, parts)
            if response.mismatch:
                log.warning("%r changed while it was being sent: %s", os.fsdecode(names[-1]), response.mismatch)
        finally:
            os.close(file)

    def _encoded(self, found: Found, names: list[bytes], request: HttpRequest) -> tuple[Found, str]:
        """Return the compressed file beside this one, if the client accepts it, and its coding; otherwise this one and
        an empty coding."""
        field = values(request.headers, ACCEPT_ENCODING).get(b"accept-encoding", "")
        for coding in accepted(field, list(ENDINGS)):
            try:
                other = self._find([*names[:-1], names[-1] + ENDINGS[coding]])
            except PermissionError:
                continue  # treat it as absent
            except OSError:
                _close(found)
                raise
            if other is not None and not other.is_folder:
                _close(found)
                return other, coding
            _close(other)
        return found, ""


_KEPT = "!$&'()*+,;=:@/?%-._~"  # characters that a query may contain (RFC 3986, 3.4)


@lru_cache(1024)
def _date(seconds: int) -> str:
    """Return an HTTP-date (RFC 9110, 5.6.7)."""
    return formatdate(seconds, usegmt=True)


def _close(found: Found | None) -> None:
    if found is not None:
        os.close(found.file)
