"""One call of a WSGI application (PEP 3333): its environ, ``start_response``, and the response that it sends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from poolctl.errors import ClientGone
from poolctl.runtime.app import Surroundings
from poolctl.runtime.app.wsgi.environ import EnvironMemo
from poolctl.runtime.app.wsgi.file import FileWrapper, regular
from poolctl.runtime.app.wsgi.single import of_single
from poolctl.runtime.protocol.http.request import EMPTY, HttpRequest
from poolctl.runtime.protocol.http.response import HttpResponse
from poolctl.runtime.protocol.output import Output

log = logging.getLogger("poolctl.app")

Application: TypeAlias = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Headers: TypeAlias = list[tuple[str, str]]


class Call(HttpResponse):
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


class _Over:
    """Takes the place of the output of a call that is over, whose connection may have another client by now."""

    last = True
    began = True
    observer = None

    def send(self, data: bytes) -> None:
        """Raise ClientGone: the application has kept ``write`` and calls it too late."""
        raise ClientGone("the response is complete")

    def send_file(self, file: int, offset: int, count: int) -> None:
        """As ``send``."""
        self.send(b"")


CALL_OVER: Final[Output] = _Over()


class Calls:
    """Calls one application, in any thread."""

    def __init__(self, application: Application, surroundings: Surroundings) -> None:
        self.application = application
        self._surroundings = surroundings
        self._reported: set[str] = set()

    def answer(self, request: HttpRequest, out: Output) -> bool:
        """Call the application and send its response. Returns whether the connection may be kept. Raises what the
        application raises."""
        conversation = request.conversation
        memo = conversation.memo
        if memo is not None:
            environ = memo.environ(request)
        elif request.keep_alive:
            memo = conversation.memo = EnvironMemo(conversation.peer, self._surroundings, conversation.scheme)
            environ = memo.environ(request)
        else:  # the only request of its connection: a memo would not pay
            environ = of_single(request, conversation.peer, self._surroundings, conversation.scheme)
        call = Call(request, out)
        try:
            result = self.application(environ, call.start_response)
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
            call.out = CALL_OVER
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


def send_wrapped(call: Call, wrapper: FileWrapper) -> None:
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


def stream(call: Call, result: Iterable[bytes]) -> None:
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
