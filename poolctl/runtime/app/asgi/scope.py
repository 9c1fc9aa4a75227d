"""The scope of an HTTP request (ASGI HTTP Connection Scope, spec 2.4)."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.task import Peer

# The extension of TLS 0.2; what is None is not known here.
TLS = {
    "server_cert": None,
    "client_cert_chain": (),
    "client_cert_error": None,
    "tls_version": None,
    "cipher_suite": None,
}
VERSION = {"version": "3.0", "spec_version": "2.4"}


class Memo:
    """What is kept for the length of a connection. The protocol gives the same list for the same headers as before."""

    __slots__ = ("_filled", "_headers", "_lowered", "_secure", "_subject", "_target", "client", "server")

    def __init__(self, peer: Peer) -> None:
        self.client = (peer.client_host, int(peer.client_port or 0)) if peer.client_host else None
        self.server = (peer.server_host, int(peer.server_port)) if peer.server_port else (peer.server_host, None)
        self._subject = peer.subject
        self._headers: object = None
        self._lowered: list[tuple[bytes, bytes]] = []
        self._target: object = None
        self._secure = False
        self._filled: dict[str, Any] = {}  # all that is the same for requests with the same target

    def scope(self, request: HttpRequest, state: dict[str, Any]) -> dict[str, Any]:
        """A new scope, of which nothing that can be changed is another request's. The names of headers are in lower
        case."""
        if request.headers is not self._headers:
            self._lowered = [(name.lower(), value) for name, value in request.headers]
            self._headers = request.headers
        if request.target is not self._target:
            self._filled = self._fill(request)
            self._secure = self._filled["scheme"] == "https"
            self._target = request.target
        scope = self._filled.copy()
        scope["asgi"] = VERSION.copy()
        scope["method"] = request.method
        scope["headers"] = self._lowered.copy()
        scope["state"] = state.copy()
        scope["extensions"] = {"http.response.pathsend": {}}
        if self._secure:
            scope["extensions"]["tls"] = {**TLS, "client_cert_name": self._subject or None}
        return scope

    def _fill(self, request: HttpRequest) -> dict[str, Any]:
        raw, _, query = request.target.partition(b"?")
        if raw[:1] != b"/":
            raw = _unusual(raw)
        path = raw.decode("latin-1")
        return {
            **dict.fromkeys(("asgi", "method", "headers", "state", "extensions")),  # room for what each request has
            "type": "http",
            "http_version": request.version,
            "scheme": request.conversation.scheme,
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw,
            "query_string": query,
            "root_path": "",
            "client": self.client,
            "server": self.server,
        }


def _unusual(target: bytes) -> bytes:
    """The path of a target in absolute form (RFC 9112, 3.2.2), or ``*``."""
    _, colon, rest = target.partition(b"://")
    if not colon:
        return target
    _, slash, path = rest.partition(b"/")
    return slash + path if slash else b"/"
