"""The environ of a WSGI call (PEP 3333, "environ Variables"), made from a template that is copied."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

from poolctl.runtime.app import Surroundings
from poolctl.runtime.app.wsgi.file import FileWrapper
from poolctl.runtime.protocol.http.forwarded import DEFAULT_PORTS
from poolctl.runtime.protocol.http.head import MEMO_NAMES
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.task import Peer

# A memo of header names and their environ keys, "" for headers that are dropped. Its entries do not depend on the
# client that added them. Saves building each key again.
_keys: dict[bytes, str] = {}


# The headers of the last connection with a single request and, once they were received twice, their variables. Clients
# that open a connection for each request, such as health checks and load generators, repeat their headers. Saves
# decoding them. Replaced as a whole, so threads need no lock.
_recent: list[tuple[object, dict[str, str] | None]] = [(None, None)]


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


ERRORS = Errors()


def template(peer: Peer, surroundings: Surroundings, scheme: str = "http") -> dict[str, Any]:
    """Return the variables that all requests of a connection share.

    A unix socket has no host name and port, but PEP 3333 requires them. The TLS variables have the names that mod_ssl
    gives them.
    """
    filled: dict[str, Any] = {
        "SCRIPT_NAME": "",
        "SERVER_NAME": peer.server_host if peer.server_port else "localhost",
        "SERVER_PORT": peer.server_port or DEFAULT_PORTS[scheme],
        "SERVER_SOFTWARE": "poolctl",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": peer.client_host,
        "REMOTE_PORT": peer.client_port,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": None,  # each request gets its own
        "wsgi.input_terminated": True,
        "wsgi.errors": ERRORS,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.multithread": surroundings.multithread,
        "wsgi.multiprocess": surroundings.multiprocess,
        "wsgi.run_once": False,
    }
    if scheme == "https":
        filled["HTTPS"] = "on"
    if peer.subject:
        filled["SSL_CLIENT_VERIFY"] = "SUCCESS"
        filled["SSL_CLIENT_S_DN"] = peer.subject.encode().decode("latin-1")  # bytes as latin-1 text (PEP 3333)
    return filled


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
    if request.keep_alive:
        _add_headers(environ, request.headers)
    else:
        _add_last(environ, request.headers)
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


def _add_last(environ: dict[str, Any], headers: list[tuple[bytes, bytes]]) -> None:
    """Add the headers of a connection's last request, from the memo if it has them."""
    known, variables = _recent[0]
    if known is not headers:
        _recent[0] = headers, None
        _add_headers(environ, headers)
        return
    if variables is None:
        variables = {}
        _add_headers(variables, headers)
        _recent[0] = headers, variables
    environ.update(variables)


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
