"""The meta-variables of a CGI program (RFC 3875, 4.1)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from poolctl.runtime.app import Surroundings
from poolctl.runtime.app.cgi.place import ScriptPlace
from poolctl.runtime.app.wsgi.environ import EnvironMemo
from poolctl.runtime.protocol.http.request import HttpRequest

PATH = "/usr/local/bin:/usr/bin:/bin"
KEPT_VARIABLES = ("LANG", "LC_ALL", "TZ")  # variables of poolctl's own environment that programs get, besides PATH
_CREDENTIALS = ("HTTP_AUTHORIZATION", "HTTP_PROXY_AUTHORIZATION")
_SERVER_NAME = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")


def request_variables(request: HttpRequest, surroundings: Surroundings) -> dict[str, str]:
    """Return the variables of a request, with its whole path as ``PATH_INFO``; each character is a byte, as in WSGI.

    The header Proxy does not become HTTP_PROXY (CVE-2016-5385), and headers with an underscore are dropped.
    """
    conversation = request.conversation
    filled = EnvironMemo(conversation.peer, surroundings, conversation.scheme).environ(request)
    found = {name: value for name, value in filled.items() if isinstance(value, str) and name[:5] != "wsgi."}
    found["REQUEST_URI"] = found.pop("RAW_URI")
    found["GATEWAY_INTERFACE"] = "CGI/1.1"
    found["REMOTE_HOST"] = found["REMOTE_ADDR"]  # the host name is not looked up (4.1.9)
    named = _SERVER_NAME.fullmatch(found.get("HTTP_HOST", ""))
    if named:
        found["SERVER_NAME"] = named[1]  # the host that the client addressed (4.1.14)
    if conversation.scheme == "https":
        found["HTTPS"] = "on"
    return found


def base(environment: Mapping[str, str]) -> dict[bytes, bytes]:
    """Return the variables that every program gets: a few of poolctl's own environment, and those of the option."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    own = {"PATH": os.environ.get("PATH", PATH), **kept, **environment}
    return {os.fsencode(name): os.fsencode(value) for name, value in own.items()}


def variables(
    own: Mapping[bytes, bytes],
    environment: Mapping[str, str],
    made: Mapping[str, str],
    place: ScriptPlace,
    documents: bytes,
) -> dict[bytes, bytes]:
    """Return the whole environment of a program. ``own``: the result of ``base(environment)``; ``made``: the variables
    of the request; ``environment``: the option, which overrides all others. ``documents``: the folder for
    PATH_TRANSLATED, or empty."""
    found = {**own, **{name.encode("latin-1"): value.encode("latin-1", "replace") for name, value in made.items()}}
    found[b"SCRIPT_NAME"] = place.script_name
    found[b"SCRIPT_FILENAME"] = place.program
    found[b"PATH_INFO"] = place.path_info
    if not place.path_info:
        del found[b"PATH_INFO"]
    if documents:
        found[b"DOCUMENT_ROOT"] = documents
        if place.path_info:
            found[b"PATH_TRANSLATED"] = documents.rstrip(b"/") + place.path_info
    for name in environment:
        found[os.fsencode(name)] = own[os.fsencode(name)]
    return found


def without_credentials(made: dict[str, str]) -> dict[str, str]:
    """Remove the variables with the client's credentials (4.1.18). Return the same mapping."""
    for name in _CREDENTIALS:
        made.pop(name, None)
    return made
