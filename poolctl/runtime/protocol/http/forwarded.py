"""The client as named by proxies: ``Forwarded`` (RFC 7239), or ``X-Forwarded-For``, ``-Proto`` and ``-Host``.

    client --> proxy --> proxy --> here            X-Forwarded-For: (anything the client wrote), client, proxy

Every proxy appends the address from which it got the request, so the list is read from the right, the only end that is
certain: while the current address is that of a trusted proxy, the next element to the left is believed. An untrusted
peer cannot add anything that is read: what it wrote is to the left of its own address.

All or nothing: if an element that must be believed is malformed, the whole header is ignored, and the request has the
address of the connection. A proxy that writes nonsense has not checked what it passes on, and an attacker could choose
what a guess would make of it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from poolctl.runtime.protocol.http.request import HttpRequest, Provenance
from poolctl.runtime.system.trust import Trust
from poolctl.runtime.task import Peer

Headers = list[tuple[bytes, bytes]]

HOPS = 32  # the most proxies in a row that are believed
DEFAULT_PORTS: Final = {"http": "80", "https": "443"}

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR = re.compile(rf'\s*({_TOKEN})=({_TOKEN}|"(?:[^"\\]|\\.)*")\s*')
_NODE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?")
_FORWARDED_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")


class MalformedForwarded(Exception):
    """An element that must be believed is malformed."""


class Hop(NamedTuple):
    """One proxy's element: the client of the request, its scheme and its Host; each empty if not stated."""

    client: str
    scheme: str
    host: str


class Origin:
    """What an app sees instead of the connection: the origin of the request, as named by trusted proxies."""

    def __init__(self, conversation: Provenance, peer: Peer, scheme: str, headers: Headers) -> None:
        self.conversation = conversation
        self.peer = peer
        self.scheme = scheme
        self.headers = headers
        self.memo: Any = None

    def __getattr__(self, name: str) -> Any:
        """Return the connection's attribute for everything else."""
        return getattr(self.conversation, name)


class Forwarded:
    """Trusted proxies. ``trust``: addresses, networks, or ``unix``; ``header``: ``forwarded`` or ``x-forwarded``."""

    def __init__(self, trust: Sequence[str], header: str) -> None:
        self.trusts = Trust(trust).holds
        self._hops = _standard if header == "forwarded" else _customary

    def origins(self, peer: Peer) -> Origins | None:
        """Return the Origins of a new connection; None if its peer is not trusted."""
        return Origins(self) if self.trusts(peer.client_host) else None

    def origin(self, conversation: Provenance, headers: Headers) -> Origin | None:
        """Return the origin of a request with these headers; None if they state nothing or are malformed."""
        try:
            client, scheme, host = self._walk(self._hops(headers), conversation.peer)
        except MalformedForwarded:
            return None
        peer = conversation.peer
        if not (client or scheme or host):
            return None
        if client:
            address, port = node(client)
            peer = peer._replace(client_host=address, client_port=port)
        if host:
            headers = [(b"host", host.encode()), *(each for each in headers if each[0].lower() != b"host")]
        if scheme or host:
            authority = host or next(
                (value.decode("latin-1") for name, value in headers if name.lower() == b"host"), ""
            )
            found = _FORWARDED_HOST.fullmatch(authority)
            scheme = scheme or conversation.scheme
            peer = peer._replace(server_port=(found and found[1]) or DEFAULT_PORTS[scheme])
        return Origin(conversation, peer, scheme or conversation.scheme, headers)

    def _walk(self, hops: list[Hop], peer: Peer) -> Hop:
        """Return the element of the outermost trusted proxy."""
        believed = Hop("", "", "")
        here = peer.client_host
        for number, hop in enumerate(reversed(hops)):
            if not self.trusts(here):
                break
            if number == HOPS:
                raise MalformedForwarded
            believed = hop
            if not hop.client:
                break
            here, _ = node(hop.client)
        if believed.scheme not in ("", *DEFAULT_PORTS) or (
            believed.host and not _FORWARDED_HOST.fullmatch(believed.host)
        ):
            raise MalformedForwarded
        return believed


def node(text: str) -> tuple[str, str]:
    """Return the address and port ("" if not stated) of a client that a proxy names.

    Raises MalformedForwarded, also for ``unknown`` and the obfuscated ``_names`` of RFC 7239, 6: they hide the address.
    """
    bare = text.count(":") > 1 and not text.startswith("[")  # X-Forwarded-For has IPv6 without brackets
    found = _NODE.fullmatch(f"[{text}]" if bare else text)
    if found is None or int(found[3] or 0) > 65535:
        raise MalformedForwarded
    try:
        return str(ipaddress.ip_address(found[1] or found[2])), found[3] or ""
    except ValueError:
        raise MalformedForwarded from None


def _customary(headers: Headers) -> list[Hop]:
    """Return the hops of X-Forwarded-*, the rightmost last. Proto and Host often have one element for all proxies."""
    clients, schemes, hosts = (
        _members(headers, name) for name in (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
    )
    count = max(len(clients), 1 if schemes or hosts else 0)
    return [
        Hop(
            clients[index] if clients else "",
            _at(schemes, count - index).lower(),
            _at(hosts, count - index),
        )
        for index in range(max(count - HOPS - 1, 0), count)
    ]


def _at(members: list[str], from_right: int) -> str:
    return members[-min(from_right, len(members))] if members else ""


def _members(headers: Headers, wanted: bytes) -> list[str]:
    values = [value for name, value in headers if name.lower() == wanted]
    members = b",".join(values).decode("latin-1").split(",")
    return [bare for member in members if (bare := member.strip())]  # empty elements are ignored (RFC 9110, 5.6.1)


def _standard(headers: Headers) -> list[Hop]:
    """Return the hops of Forwarded (RFC 7239, 4), the rightmost last. Raises MalformedForwarded."""
    values = [value for name, value in headers if name.lower() == b"forwarded"]
    return list(_elements(b",".join(values).decode("latin-1"))) if values else []


def _elements(text: str) -> Iterator[Hop]:
    pairs: dict[str, str] = {}
    position = 0
    while True:
        found = _PAIR.match(text, position)
        if found is None or found[1].lower() in pairs:
            raise MalformedForwarded
        value = found[2]
        pairs[found[1].lower()] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        position = found.end()
        separator = text[position : position + 1]
        position += 1
        if separator == ";":
            continue
        yield Hop(pairs.get("for", ""), pairs.get("proto", "").lower(), pairs.get("host", ""))
        pairs = {}
        if not separator:
            return
        if separator != ",":
            raise MalformedForwarded


class Origins:
    """Finds the origins of the requests on a connection from a trusted proxy; each may come from another client."""

    def __init__(self, forwarded: Forwarded) -> None:
        self._forwarded = forwarded
        self._last: tuple[Headers, Origin | None] = ([], None)  # the head parser reuses the list for the same headers

    def place(self, request: HttpRequest, conversation: Provenance) -> None:
        """Replace the connection and headers of a request by those of its origin, if its headers name one."""
        headers, origin = self._last
        if headers is not request.headers:
            origin = self._forwarded.origin(conversation, request.headers)
            self._last = request.headers, origin
        if origin is not None:
            request.conversation = origin
            request.headers = origin.headers
