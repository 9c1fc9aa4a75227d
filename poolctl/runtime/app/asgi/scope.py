"""The scope of an HTTP request (ASGI HTTP Connection Scope, spec 2.4)."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote

from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.task import Peer

# The TLS extension 0.2; None means that the value is not known here.
TLS: Final = {
    "server_cert": None,
    "client_cert_chain": (),
    "client_cert_error": None,
    "tls_version": None,
    "cipher_suite": None,
}
ASGI_VERSION: Final = {"version": "3.0", "spec_version": "2.4"}


class ScopeMemo:
    """The parts of a connection's scopes that repeat; saves converting its headers and target for each request.

    The protocol returns the same list object if the headers are the same as before, and the same bytes object for the
    same target. ``state``: the lifespan state of the event loop, of which each request gets a copy.
    """

    __slots__ = ("_headers", "_lowered", "_state", "_target", "_template", "_tls")

    def __init__(self, peer: Peer, scheme: str, state: dict[str, Any]) -> None:
        self._state = state
        self._headers: object = None
        self._lowered: list[tuple[bytes, bytes]] = []
        self._target: object = None
        self._tls = {**TLS, "client_cert_name": peer.subject or None} if scheme == "https" else None
        self._template: dict[str, Any] = {
            # set for each request, or each new target; listed here, so that no copy has to grow
            **dict.fromkeys(("http_version", "asgi", "method", "headers", "state", "extensions")),
            **dict.fromkeys(("path", "raw_path", "query_string")),
            "type": "http",
            "scheme": scheme,
            "root_path": "",
            "client": (peer.client_host, int(peer.client_port or 0)) if peer.client_host else None,
            "server": (peer.server_host, int(peer.server_port) if peer.server_port else None),
        }

    def scope(self, request: HttpRequest) -> dict[str, Any]:
        """Return a new scope that shares no mutable value with the scope of another request. Header names are in lower
        case."""
        if request.headers is not self._headers:
            self._lowered = [(name.lower(), value) for name, value in request.headers]
            self._headers = request.headers
        if request.target is not self._target:
            line = self._template
            line["path"], line["raw_path"], line["query_string"] = _line(request.target)
            self._target = request.target
        scope = self._template.copy()
        scope["http_version"] = request.version
        scope["asgi"] = ASGI_VERSION.copy()
        scope["method"] = request.method
        scope["headers"] = self._lowered.copy()
        scope["state"] = self._state.copy()
        scope["extensions"] = {"http.response.pathsend": {}}
        if self._tls is not None:
            scope["extensions"]["tls"] = self._tls.copy()
        return scope


def _line(target: bytes) -> tuple[str, bytes, bytes]:
    raw, _, query = target.partition(b"?")
    if raw[:1] != b"/":
        raw = _path_of_other_form(raw)
    path = raw.decode("latin-1")
    return unquote(path) if "%" in path else path, raw, query


def _path_of_other_form(target: bytes) -> bytes:
    """Return the path of a target in absolute form (RFC 9112, 3.2.2), or ``*``."""
    _, colon, rest = target.partition(b"://")
    if not colon:
        return target
    _, slash, path = rest.partition(b"/")
    return slash + path if slash else b"/"
