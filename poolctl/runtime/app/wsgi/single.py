"""The environ of a request that is the last of its connection, and often the only one."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final, TypeAlias

from poolctl.runtime.app import Surroundings
from poolctl.runtime.app.wsgi.environ import add_client, common, fill
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.task import Peer

# The last such request, of any thread: what ``common`` returned, its headers, its target, and once it was received
# twice its environ without its client. Replaced as a whole, so threads need no lock.
#
# Clients that open a connection for each request, such as health checks and load generators, repeat their requests.
# Saves decoding them. The protocol returns the same objects for the same headers and target.
Known: TypeAlias = tuple[dict[str, Any], Any, Any, dict[str, Any] | None]
_known: Final[list[Known]] = [({}, None, None, None)]


def of_single(request: HttpRequest, peer: Peer, surroundings: Surroundings, scheme: str) -> dict[str, Any]:
    """Return a new environ for the request."""
    shared = common(peer, surroundings, scheme)
    headers = request.headers
    target = request.target
    known_shared, known_headers, known_target, filled = _known[0]
    if known_headers is not headers or known_target is not target or known_shared is not shared:
        _known[0] = shared, headers, target, None
        environ = fill(shared.copy(), request)
    elif request.length >= 0 or request.version != "1.1":
        environ = fill(shared.copy(), request)
    else:
        if filled is None:
            filled = fill(shared.copy(), request)
            _known[0] = shared, headers, target, filled
        environ = filled.copy()
        environ["REQUEST_METHOD"] = request.method
        environ["wsgi.input"] = BytesIO()
    add_client(environ, peer)
    return environ
