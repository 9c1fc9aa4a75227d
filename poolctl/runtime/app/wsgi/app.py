"""WSGI applications (PEP 3333)."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from poolctl.runtime.app import App, Surroundings
from poolctl.runtime.app.functions.target import load_wsgi
from poolctl.runtime.app.wsgi.environ import EnvironMemo, fill, template
from poolctl.runtime.app.wsgi.file import FileWrapper, regular
from poolctl.runtime.protocol.http.request import EMPTY, HttpRequest
from poolctl.runtime.protocol.http.response import HttpResponse
from poolctl.runtime.protocol.output import Output

log = logging.getLogger("poolctl.app")

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Headers = list[tuple[str, str]]


class _Call(HttpResponse):
    """One call of the application: its response, and the ``start_response`` that it gets."""

    __slots__ = ()

    def start_response(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], None]:
        """Begin the response (PEP 3333). Return ``write``. Raises RuntimeError for a second call without exc_info."""
        if self._status is not None:
            self._restart(exc_info)
        self.begin(status, headers)
        return self.send

    def _restart(self, exc_info: Any) -> None:
        if exc_info is None:
            raise RuntimeError("start_response was called a second time without exc_info")
        try:
            if self._headed:
                raise exc_info[1].with_traceback(exc_info[2])
        finally:
            del exc_info  # the traceback holds this frame

    def send(self, chunk: bytes) -> None:
        """Send a chunk: the ``write`` callable of PEP 3333. Raises TypeError if it is not bytes."""
        _check(chunk)
        self.write(chunk)


@dataclass
class WsgiApp(App):
    """Serves a WSGI callable, which the subclass provides."""

    protocol: ClassVar[str] = "http"

    @abstractmethod
    def find(self) -> Application:
        """Return the application. Raises AppError if there is none."""

    def load(self, surroundings: Surroundings) -> None:
        """Import the application. Raises AppError."""
        self._surroundings = surroundings
        self._reported: set[str] = set()
        self._application: Application = self.find()
        if surroundings.page is not None:
            self._application = surroundings.page.wrap_wsgi(self._application)

    def warm(self) -> None:
        if self._surroundings.warm:
            from poolctl.runtime.app.warm import warm_wsgi  # few topologies have warm requests

            warm_wsgi(self._application, self._surroundings.warm)

    def serve(self, request: HttpRequest, out: Output) -> bool:
        """Call the application and send its response. Return whether the connection may be kept."""
        conversation = request.conversation
        memo = conversation.memo
        if memo is not None:
            environ = memo.environ(request)
        elif request.keep_alive:
            memo = conversation.memo = EnvironMemo(conversation.peer, self._surroundings, conversation.scheme)
            environ = memo.environ(request)
        else:  # the only request of its connection: a memo would not pay
            environ = fill(template(conversation.peer, self._surroundings, conversation.scheme), request)
        call = _Call(request, out)
        try:
            result = self._application(environ, call.start_response)
            kind = type(result)
            if (kind is list or kind is tuple) and call._status is not None and not call._headed:
                for chunk in result:
                    if type(chunk) is not bytes:
                        _check(chunk)
                call.whole(result)  # type: ignore[arg-type]
            elif kind is FileWrapper:
                send_wrapped(call, result)  # type: ignore[arg-type]
            else:
                stream(call, result)
        finally:
            if request.body is not EMPTY:
                request.body.close()
        if call.mismatch:
            self._report(call.mismatch, request)
        return call.keep

    def _report(self, mismatch: str, request: HttpRequest) -> None:
        kind = "longer" if "longer" in mismatch else "shorter"
        if kind not in self._reported:
            self._reported.add(kind)
            log.error("%s %r: %s (logged once)", request.method, request.target.decode("latin-1"), mismatch)


def send_wrapped(call: _Call, wrapper: FileWrapper) -> None:
    """Send a wrapped file without reading its bytes, if possible."""
    found = regular(wrapper.filelike) if call.started else None
    if found is None:
        stream(call, wrapper)
        return
    try:
        call.write_file(*found)
        call.finish()
    finally:
        wrapper.close()


def stream(call: _Call, result: Iterable[bytes]) -> None:
    """Send each chunk before the next is asked for (PEP 3333, "Buffering and Streaming")."""
    try:
        for chunk in result:
            _check(chunk)
            if call._status is None:
                raise RuntimeError("the application returned a body before it called start_response")
            call.write(chunk)
            if call._headed and call._silent():
                break
        if call._status is None:
            raise RuntimeError("the application never called start_response")
        call.finish()
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()


def _check(chunk: Any) -> None:
    if not isinstance(chunk, bytes):
        raise TypeError(f"a WSGI body must consist of bytes, not {type(chunk).__name__}")


@dataclass
class Wsgi(WsgiApp):
    """Serves the WSGI callable that the target names."""

    target: Annotated[
        str, Field(min_length=1, description="package.module:callable; the callable defaults to application")
    ]

    def find(self) -> Application:
        """Return the application. Raises AppError."""
        return load_wsgi(self.target)
