"""The meta-variables of a CGI program (RFC 3875, 4.1): what a client can set, and what it cannot."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from poolctl.runtime.app import Surroundings
from poolctl.runtime.app.cgi.environ import base, request_variables, variables, without_credentials
from poolctl.runtime.app.cgi.place import ScriptPlace
from poolctl.runtime.protocol.http.request import HttpRequest
from poolctl.runtime.task import Peer

PEER = Peer("192.0.2.1", "40000", "192.0.2.2", "8000")
SURROUNDINGS = Surroundings(multithread=False, multiprocess=True)


def made(*headers: tuple[bytes, bytes], target: bytes = b"/a?b=c", scheme: str = "http") -> dict[str, str]:
    conversation: Any = SimpleNamespace(peer=PEER, scheme=scheme)
    return request_variables(HttpRequest("GET", target, "1.1", list(headers), True, conversation), SURROUNDINGS)


def test_what_a_request_makes() -> None:
    found = made((b"Host", b"shop.example:8000"), (b"X-Y", b"z"))
    assert (
        found.items()
        >= {
            "GATEWAY_INTERFACE": "CGI/1.1",
            "HTTP_X_Y": "z",
            "PATH_INFO": "/a",
            "QUERY_STRING": "b=c",
            "REMOTE_ADDR": "192.0.2.1",
            "REMOTE_HOST": "192.0.2.1",
            "REQUEST_METHOD": "GET",
            "REQUEST_URI": "/a?b=c",
            "SERVER_NAME": "shop.example",
            "SERVER_PROTOCOL": "HTTP/1.1",
        }.items()
    )
    assert not [name for name in found if "." in name]
    assert "HTTPS" not in found
    assert made(scheme="https")["HTTPS"] == "on"


@pytest.mark.parametrize(
    ("host", "name"),
    [(b"[::1]:80", "[::1]"), (b"a.b", "a.b"), (b"a b", "192.0.2.2"), (b"", "192.0.2.2"), (b"a/b", "192.0.2.2")],
)
def test_the_server_has_the_name_that_the_client_used_if_it_is_one(host: bytes, name: str) -> None:
    assert made((b"Host", host))["SERVER_NAME"] == name


def test_a_client_sets_no_variable_that_programs_trust() -> None:
    found = made((b"Proxy", b"evil"), (b"Remote_User", b"root"), (b"Authorization", b"Basic x"))
    assert "HTTP_PROXY" not in found
    assert "HTTP_REMOTE_USER" not in found
    assert "HTTP_AUTHORIZATION" not in without_credentials(found)


def test_the_whole_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of the server")
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("PATH", "/bin")
    environment = {"REMOTE_ADDR": "hidden", "MODE": "x"}
    own = base(environment)
    place = ScriptPlace(b"/srv/run", b"/run", b"/caf\xc3\xa9")
    found = variables(own, environment, made((b"X", b"\xe9")), place, b"/srv/docs/")
    assert (
        found.items()
        >= {
            b"PATH": b"/bin",
            b"LANG": b"C.UTF-8",
            b"MODE": b"x",
            b"REMOTE_ADDR": b"hidden",  # the option wins
            b"HTTP_X": b"\xe9",
            b"SCRIPT_NAME": b"/run",
            b"SCRIPT_FILENAME": b"/srv/run",
            b"PATH_INFO": b"/caf\xc3\xa9",
            b"PATH_TRANSLATED": b"/srv/docs/caf\xc3\xa9",
        }.items()
    )
    assert b"SECRET" not in found
    without = variables(own, environment, made(), place._replace(path_info=b""), b"")
    assert not {b"PATH_INFO", b"PATH_TRANSLATED", b"DOCUMENT_ROOT"} & without.keys()
