"""The environ of a WSGI call (PEP 3333, "environ Variables"), made from a template that is copied."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from io import BytesIO
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from poolctl.runtime.app import Surroundings
from poolctl.runtime.app.wsgi.file import FileWrapper
from poolctl.runtime.protocol.http.forwarded import DEFAULT_PORTS
from poolctl.runtime.protocol.http.head import MEMO_NAMES
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.task import Peer

# A memo of header names and their environ keys, "" for headers that are dropped. Its entries do not depend on the
# client that added them. Saves building each key again.
_keys: Final[dict[bytes, str]] = {}


# The variables that depend on no client, by server, scheme and surroundings. Saves building them for each connection.
_commons: Final[dict[tuple[str, str, str, bool, bool], dict[str, Any]]] = {}
MEMO_SERVERS: Final = 64  # entries of that memo: a proxy's header may name any server


class Errors:
    """``wsgi.errors`` of all requests: it forwards each call to the current ``sys.stderr``, since code that replaces
    that for a while does not mean later requests. It has no state, and closing it does nothing."""

    __slots__ = ()

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        sys.stderr.writelines(lines)

    def flush(self) -> None:
        sys.stderr.flush()

    def close(self) -> None:
        """Do nothing: all requests share this stream."""

    def __getattr__(self, name: str) -> Any:
        """Return attributes beyond those of PEP 3333, such as ``encoding``."""
        return getattr(sys.stderr, name)


ERRORS: Final = Errors()


def template(peer: Peer, surroundings: Surroundings, scheme: str = "http") -> dict[str, Any]:
    """Return the variables that all requests of a connection share."""
    filled = common(peer, surroundings, scheme).copy()
    add_client(filled, peer)
    return filled


def common(peer: Peer, surroundings: Surroundings, scheme: str) -> dict[str, Any]:
    """Return those of them that all connections to this address of the server share; not to be changed."""
    key = (peer.server_host, peer.server_port, scheme, surroundings.multithread, surroundings.multiprocess)
    found = _commons.get(key)
    if found is None:
        if len(_commons) >= MEMO_SERVERS:
            _commons.clear()
        _commons[key] = found = _made(*key)
    return found


def _made(host: str, port: str, scheme: str, multithread: bool, multiprocess: bool) -> dict[str, Any]:
    """Return the variables that do not depend on the client.

    A unix socket has no host name and port, but PEP 3333 requires them. The TLS variables have the names that mod_ssl
    gives them.
    """
    made: dict[str, Any] = {
        "SCRIPT_NAME": "",
        "SERVER_NAME": host if port else "localhost",
        "SERVER_PORT": port or DEFAULT_PORTS[scheme],
        "SERVER_SOFTWARE": "poolctl",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "",
        "REMOTE_PORT": "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": None,  # each request gets its own
        "wsgi.input_terminated": True,
        "wsgi.errors": ERRORS,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
    }
    if scheme == "https":
        made["HTTPS"] = "on"
    return made


def add_client(environ: dict[str, Any], peer: Peer) -> None:
    """Set the variables that depend on the client."""
    environ["REMOTE_ADDR"] = peer.client_host
    environ["REMOTE_PORT"] = peer.client_port
    if peer.subject:
        environ["SSL_CLIENT_VERIFY"] = "SUCCESS"
        environ["SSL_CLIENT_S_DN"] = peer.subject.encode().decode("latin-1")  # bytes as latin-1 text (PEP 3333)


class EnvironMemo:
    """The environ of a connection's last request, to save decoding headers and targets that repeat.

    The protocol returns the same list object if the headers are the same as before, and the same bytes object for the
    same target. Headers are memoized only when they are received a second time, as many never are.
    """

    __slots__ = ("_filled", "_headers", "_target", "_template")

    def __init__(self, peer: Peer, surroundings: Surroundings, scheme: str = "http") -> None:
        self._template = template(peer, surroundings, scheme)
        self._headers: object = None
        self._target: object = None
        # The template with the variables of these headers and this target, once the headers were received twice.
        self._filled: dict[str, Any] | None = None

    def environ(self, request: HttpRequest) -> dict[str, Any]:
        """Return a new environ for this request."""
        headers = request.headers
        if headers is not self._headers or request.length >= 0 or request.version != "1.1":
            self._headers = headers
            self._filled = None
            return fill(self._template.copy(), request)
        filled = self._filled
        if filled is None:
            self._filled = filled = self._template.copy()
            _add_headers(filled, headers)
            self._target = None
        if request.target is not self._target:
            _add_target(filled, request.target)
            self._target = request.target
        environ = filled.copy()
        environ["REQUEST_METHOD"] = request.method
        environ["wsgi.input"] = BytesIO()
        return environ


def fill(environ: dict[str, Any], request: HttpRequest) -> dict[str, Any]:
    """Add the variables of this request to a template. Return the template."""
    _add_headers(environ, request.headers)
    _add_target(environ, request.target)
    environ["REQUEST_METHOD"] = request.method
    if request.version != "1.1":
        environ["SERVER_PROTOCOL"] = f"HTTP/{request.version}"
    if request.length < 0:
        environ["wsgi.input"] = BytesIO()
    else:
        environ["wsgi.input"] = request.body
        environ["CONTENT_LENGTH"] = str(request.length)
        # The body is decoded and its length known, so the header no longer applies (RFC 9112, 7.1.3).
        environ.pop("HTTP_TRANSFER_ENCODING", None)
    return environ


def _add_target(environ: dict[str, Any], target: bytes) -> None:
    environ["RAW_URI"] = raw = target.decode("latin-1")
    path, _, environ["QUERY_STRING"] = raw.partition("?")
    if path[:1] != "/":
        path = _path_of_other_form(path)
    environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1") if "%" in path else path


def _path_of_other_form(path: str) -> str:
    """Return the path of a target in absolute form (RFC 9112, 3.2.2), or ``*``."""
    _, colon, rest = path.partition("://")
    if not colon:
        return path
    _, slash, path = rest.partition("/")
    return slash + path if slash else "/"


def _add_headers(environ: dict[str, Any], headers: list[tuple[bytes, bytes]]) -> None:
    for name, value in headers:
        key = _keys.get(name)
        if key is None:
            key = environ_key(name)
        if not key:
            continue
        if key in environ:
            _join(environ, key, value)
        else:
            environ[key] = value.decode("latin-1")


def environ_key(name: bytes) -> str:
    """Return the environ key of a header, empty if the header is dropped.

    A name with an underscore could be mistaken for the one with a dash, and Proxy for the variable HTTP_PROXY
    (CVE-2016-5385).
    """
    lowered = name.lower()
    if b"_" in name or lowered == b"proxy":
        key = ""
    elif lowered in (b"content-type", b"content-length"):
        key = lowered.decode("latin-1").upper().replace("-", "_")
    else:
        key = "HTTP_" + lowered.decode("latin-1").upper().replace("-", "_")
    if len(_keys) < MEMO_NAMES and len(name) <= 64:
        _keys[name] = key
    return key


def _join(environ: dict[str, Any], key: str, value: bytes) -> None:
    """Append the value of a repeated header (RFC 9110, 5.2; for Cookie RFC 9113, 8.2.3)."""
    separator = "; " if key == "HTTP_COOKIE" else ","
    environ[key] = f"{environ[key]}{separator}{value.decode('latin-1')}"
