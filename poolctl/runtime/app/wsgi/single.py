"""The environ of a request that is the last of its connection, and often the only one."""

from __future__ import annotations

from io import BytesIO
from typing import Any, NamedTuple

from poolctl.runtime.app import Surroundings
from poolctl.runtime.app.wsgi.environ import add_client, common, fill
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.task import Peer


class _Known(NamedTuple):
    """The last such request, and once it was received twice its environ without its client.

    Clients that open a connection for each request, such as health checks and load generators, repeat their requests.
    Saves decoding them. The protocol returns the same objects for the same headers and target.
    """

    shared: dict[str, Any]  # what ``common`` returned
    headers: Any
    target: Any
    filled: dict[str, Any] | None


# Of all threads; replaced as a whole, so they need no lock.
_known: list[_Known] = [_Known({}, None, None, None)]


def of_single(request: HttpRequest, peer: Peer, surroundings: Surroundings, scheme: str) -> dict[str, Any]:
    """Return a new environ for the request."""
    shared = common(peer, surroundings, scheme)
    headers = request.headers
    target = request.target
    known = _known[0]
    if known.headers is not headers or known.target is not target or known.shared is not shared:
        _known[0] = _Known(shared, headers, target, None)
        environ = fill(shared.copy(), request)
    elif request.length >= 0 or request.version != "1.1":
        environ = fill(shared.copy(), request)
    else:
        filled = known.filled
        if filled is None:
            filled = fill(shared.copy(), request)
            _known[0] = _Known(shared, headers, target, filled)
        environ = filled.copy()
        environ["REQUEST_METHOD"] = request.method
        environ["wsgi.input"] = BytesIO()
    add_client(environ, peer)
    return environ
