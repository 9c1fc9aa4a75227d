"""CGI/1.1 programs (RFC 3875): a process for each request."""

from __future__ import annotations

import io
import logging
import os
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any, BinaryIO, ClassVar
from urllib.parse import unquote_to_bytes

from pydantic import Field

from poolctl.errors import AppError, ClientGone
from poolctl.runtime.app import App, Surroundings
from poolctl.runtime.app.cgi.environ import base, request_variables, variables, without_credentials
from poolctl.runtime.app.cgi.output import MalformedOutput, OutputHead
from poolctl.runtime.app.cgi.place import NOT_FOUND, ScriptPlace, in_folder, is_unambiguous
from poolctl.runtime.app.cgi.program import Program, ProgramTimeout
from poolctl.runtime.app.cgi.warden import Warden
from poolctl.runtime.buffers.temporary import temporary_file
from poolctl.runtime.protocol.http.request import EMPTY, HttpRequest
from poolctl.runtime.protocol.http.response import HttpResponse
from poolctl.runtime.protocol.output import Output

log = logging.getLogger("poolctl.app")
REDIRECTS = 10  # local redirects in a row
HEADERS = 200  # headers in a program's response
NULL = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


@dataclass
class Cgi(App):
    """Runs the program that the path names, or the same program for every path."""

    protocol: ClassVar[str] = "http"

    program: Annotated[str, Field(min_length=1, description="program to run, or folder of programs")]
    timeout: Annotated[float, "seconds", Field(gt=0, le=86400, description="for one run of the program")] = 60.0
    environment: Annotated[dict[str, str], Field(description="environment variables to add for programs")] = field(
        default_factory=dict
    )
    documents: Annotated[str, Field(description="folder for PATH_TRANSLATED and DOCUMENT_ROOT")] = ""
    credentials: Annotated[bool, Field(description="pass the Authorization header to programs")] = False
    head: Annotated[int, "bytes", Field(ge=256, description="maximum size of a program's headers")] = 65536

    def load(self, surroundings: Surroundings) -> None:
        """Find the program or folder. Raises AppError if it does not exist or cannot be executed."""
        self._surroundings = surroundings
        self._warden = Warden()
        path = os.fsencode(os.path.realpath(self.program))
        if os.path.isdir(path):
            self._folder: bytes | None = path
        elif not os.path.isfile(path):
            raise AppError(f"cgi: there is no program or folder {self.program}; create it, or name another")
        elif not os.access(path, os.X_OK):
            raise AppError(f"cgi: this user cannot execute {self.program}; chmod +x {self.program}")
        else:
            self._folder = None
        self._path = path
        self._documents = os.fsencode(os.path.realpath(self.documents)) if self.documents else b""
        self._base = base(self.environment)

    def serve(self, request: HttpRequest, out: Output) -> bool:
        """Run the program and send its response. Return whether the connection may be kept."""
        body = request.body
        try:
            for _ in range(REDIRECTS + 1):
                answer = _Answer(request, out)
                place = self._place(request.target)
                if isinstance(place, int):
                    return answer.page(place)
                target = self._run(place, request, answer)
                if target is None:
                    return answer.keep
                request = _redirected(request, target)
            log.error("%r: more than %d local redirects", request.target.decode("latin-1"), REDIRECTS)
            return answer.page(HTTPStatus.BAD_GATEWAY)
        finally:
            if body is not EMPTY:
                body.close()

    def _place(self, target: bytes) -> ScriptPlace | int:
        raw = target.partition(b"?")[0]
        if raw[:1] != b"/":  # in absolute form
            raw = b"/" + raw.partition(b"://")[2].partition(b"/")[2]
        path = unquote_to_bytes(raw)
        if not is_unambiguous(raw, path):
            return NOT_FOUND
        return ScriptPlace(self._path, b"", path) if self._folder is None else in_folder(self._folder, path)

    def _run(self, place: ScriptPlace, request: HttpRequest, answer: _Answer) -> bytes | None:  # noqa: C901  # a run can end in as many ways
        """Run the program and send its response. Return the target if it asked for a local redirect, otherwise None."""
        made = request_variables(request, self._surroundings)
        if not self.credentials:
            made = without_credentials(made)
        environment = variables(self._base, self.environment, made, place, self._documents)
        head = OutputHead(self.head, HEADERS)
        name = os.fsdecode(place.program)
        try:
            with Program([place.program], environment, _file(request), self.timeout, self._warden) as program:
                for data in program.output(getattr(answer.out, "fd", -1)):
                    if head.status:
                        answer.write(data)
                    elif head.receive(data):
                        if head.redirect:
                            return head.redirect
                        answer.begin(head.status, head.headers)
                        answer.write(head.rest)
                if not head.status:
                    head.ended()
                answer.finish()
        except ProgramTimeout:
            log.error("%s: did not finish within %g s; terminated", name, self.timeout)
            answer.fail(HTTPStatus.GATEWAY_TIMEOUT)
        except MalformedOutput as error:
            log.error("%s: invalid CGI response: %s", name, error)
            answer.fail(HTTPStatus.BAD_GATEWAY)
        except ClientGone:
            raise
        except OSError as error:
            log.error("%s: cannot run: %s", name, error.strerror or error)
            answer.fail(HTTPStatus.INTERNAL_SERVER_ERROR)
        if answer.mismatch:
            log.error("%s: %s", name, answer.mismatch)
        return None


class _Answer(HttpResponse):
    """The response to a request, after any local redirects."""

    __slots__ = ()

    def page(self, status: int) -> bool:
        """Send a page that states the status. Return whether the connection may be kept."""
        known = HTTPStatus(status)
        self.begin(f"{known.value} {known.phrase}", [("Content-Type", "text/plain")])
        self.whole([f"{known.value} {known.phrase}\n".encode()])
        return self.keep

    def fail(self, status: int) -> None:
        """Send an error page; if the response has begun, close the connection after it, so that the client notices."""
        if self.headed:
            self.keep = False
        else:
            self.page(status)


def _file(request: HttpRequest) -> BinaryIO | int:
    """Return the body as a file with a descriptor, which the program reads as its stdin."""
    body: Any = request.body
    if body is EMPTY:
        return NULL
    if isinstance(body, io.BytesIO):
        file = temporary_file()
        file.write(body.getbuffer())
        file.flush()
        body.close()
        body = request.body = file
    os.lseek(body.fileno(), 0, os.SEEK_SET)
    made: BinaryIO = body
    return made


def _redirected(request: HttpRequest, target: bytes) -> HttpRequest:
    """Return the request that a local redirect asks for (RFC 3875, 6.2.2): a GET or HEAD of the same client, without a
    body."""
    headers = [each for each in request.headers if not each[0].lower().startswith((b"content-", b"transfer-"))]
    method = "HEAD" if request.method == "HEAD" else "GET"
    made = HttpRequest(method, target, request.version, headers, request.keep_alive, None)
    made.conversation = request.conversation
    return made
