"""The environ of a WSGI call (PEP 3333, "environ Variables"), made from a template that is copied."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

from poolctl.runtime.app import Surroundings
from poolctl.runtime.app.wsgi.file import FileWrapper
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.task import Peer

PORTS = {"http": "80", "https": "443"}
MEMO = 512  # header names remembered, in the spelling of the clients

_keys: dict[bytes, str] = {}  # a memo, the same whoever fills it; "" for a header that is dropped


# One place for the last headers of any connection and their variables; replaced as a whole, so threads need no lock.
_recent: list[tuple[list[tuple[bytes, bytes]], dict[str, str]]] = [([], {})]


class Errors:
    """``wsgi.errors`` of all requests: what is stderr at the moment of each call, for whoever replaced that for a while
    did not mean the requests of others. Has no state, and closing it does nothing."""

    __slots__ = ()

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        sys.stderr.writelines(lines)

    def flush(self) -> None:
        sys.stderr.flush()

    def close(self) -> None:
        """Stays open: all others have it too."""

    def __getattr__(self, name: str) -> Any:
        """What PEP 3333 does not ask for, such as ``encoding``."""
        return getattr(sys.stderr, name)


ERRORS = Errors()


def template(peer: Peer, surroundings: Surroundings, scheme: str = "http") -> dict[str, Any]:
    """What is the same for all requests of a connection.

    A unix socket has no name and port that a URL could have; PEP 3333 wants some. The variables of TLS are called as
    mod_ssl calls them.
    """
    filled: dict[str, Any] = {
        "SCRIPT_NAME": "",
        "SERVER_NAME": peer.server_host if peer.server_port else "localhost",
        "SERVER_PORT": peer.server_port or PORTS[scheme],
        "SERVER_SOFTWARE": "poolctl",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": peer.client_host,
        "REMOTE_PORT": peer.client_port,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": None,  # each request has one of its own
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
        filled["SSL_CLIENT_S_DN"] = peer.subject.encode().decode("latin-1")  # bytes in a text, as PEP 3333 has them
    return filled


class Memo:
    """What is kept for the length of a connection, so that only what is new has to be put together.

    The protocol gives the same list for the same headers as before, and the same target for the same target.
    """

    __slots__ = ("_filled", "_headed", "_headers", "_target", "_template")

    def __init__(self, peer: Peer, surroundings: Surroundings, scheme: str = "http") -> None:
        self._template = template(peer, surroundings, scheme)
        self._headers: object = None
        self._target: object = None
        self._headed: dict[str, Any] = {}  # the template with the variables of these headers
        self._filled: dict[str, Any] = {}  # and with those of this target

    def environ(self, request: HttpRequest) -> dict[str, Any]:
        """A new environ for this request."""
        if request.length >= 0 or request.version != "1.1":
            return fill(self._template.copy(), request)
        if request.headers is not self._headers:
            self._headed = self._template.copy()
            _fill_headers(self._headed, request)
            self._headers = request.headers
            self._target = None
        if request.target is not self._target:
            self._filled = self._headed.copy()
            _fill_line(self._filled, request)
            self._target = request.target
        environ = self._filled.copy()
        environ["REQUEST_METHOD"] = request.method
        environ["wsgi.input"] = BytesIO()
        return environ


def fill(environ: dict[str, Any], request: HttpRequest) -> dict[str, Any]:
    """A template with everything of this request."""
    _fill_headers(environ, request)
    _fill_line(environ, request)
    _fill_rest(environ, request)
    return environ


def _fill_line(environ: dict[str, Any], request: HttpRequest) -> None:
    target = request.target.decode("latin-1")
    environ["REQUEST_METHOD"] = request.method
    environ["RAW_URI"] = target
    path, _, environ["QUERY_STRING"] = target.partition("?")
    if path[:1] != "/":
        path = _unusual(environ, path)
    environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1") if "%" in path else path


def _fill_headers(environ: dict[str, Any], request: HttpRequest) -> None:
    """The protocol gives the same list for the same headers as before, so the last ones are kept."""
    headers, variables = _recent[0]
    if headers is not request.headers:
        variables = _variables(request.headers)
        _recent[0] = request.headers, variables
    environ.update(variables)


def _variables(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    variables: dict[str, str] = {}
    for name, value in headers:
        key = _keys.get(name)
        if key is None:
            key = environ_key(name)
        if not key:
            continue
        if key in variables:
            _join(variables, key, value)
        else:
            variables[key] = value.decode("latin-1")
    return variables


def _fill_rest(environ: dict[str, Any], request: HttpRequest) -> None:
    if request.version != "1.1":
        environ["SERVER_PROTOCOL"] = f"HTTP/{request.version}"
    if request.length >= 0:
        environ["wsgi.input"] = request.body
        environ["CONTENT_LENGTH"] = str(request.length)
        # The chunks are undone and the length is known: say so, as RFC 9112, 7.1.3 does.
        environ.pop("HTTP_TRANSFER_ENCODING", None)
    else:
        environ["wsgi.input"] = BytesIO()


def environ_key(name: bytes) -> str:
    """The key of a header. Empty for those that are dropped.

    A name with an underscore would pass for the one with a dash, and Proxy for the variable HTTP_PROXY (CVE-2016-5385).
    """
    lowered = name.lower()
    if b"_" in name or lowered == b"proxy":
        key = ""
    elif lowered in (b"content-type", b"content-length"):
        key = lowered.decode("latin-1").upper().replace("-", "_")
    else:
        key = "HTTP_" + lowered.decode("latin-1").upper().replace("-", "_")
    if len(_keys) < MEMO and len(name) <= 64:
        _keys[name] = key
    return key


def _join(environ: dict[str, str], key: str, value: bytes) -> None:
    """A header that came before (RFC 9110, 5.2; for Cookie RFC 9113, 8.2.3)."""
    separator = "; " if key == "HTTP_COOKIE" else ","
    environ[key] = f"{environ[key]}{separator}{value.decode('latin-1')}"


def _unusual(environ: dict[str, Any], path: str) -> str:
    """The path of a target in absolute form, whose host counts more than the header (RFC 9112, 3.2.2), or ``*``."""
    _, colon, rest = path.partition("://")
    if not colon:
        return path
    host, slash, path = rest.partition("/")
    environ["HTTP_HOST"] = host.rpartition("@")[2]
    return slash + path if slash else "/"
