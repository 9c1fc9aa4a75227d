"""Checks the head of an HTTP/2 request by the rules of HTTP/1 (``http.head``); h2 checks those that HTTP/2 adds.

Apps and logs expect the same from both versions: a method with a quote, a fragment in a path or a control character in
a value must not get through over HTTP/2 alone (RFC 9113, 8.2.1, 8.3.1 and 10.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from poolctl.runtime.protocol.failure import Failure
from poolctl.runtime.protocol.http.limits import HttpLimits
from poolctl.runtime.protocol.http.line import METHOD_BYTES, NOT_SERVED, TOKEN_CHARACTERS, good_hosts, known_host

_TARGET = re.compile(rb"/[!-\"$-~]*")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

Headers = list[tuple[bytes, bytes]]


def refusal_of_head(http: HttpLimits, method: bytes, target: bytes, headers: Headers, *, ended: bool) -> Failure | None:
    """Return None for a valid head, else what is wrong with it. ``ended``: no body follows."""
    if not method or not TOKEN_CHARACTERS.issuperset(method):
        return Failure.MALFORMED
    if method in NOT_SERVED or len(method) > METHOD_BYTES:
        return Failure.NOT_SERVED
    if len(target) > http.target:
        return Failure.TARGET_TOO_LONG
    if len(headers) > http.headers:
        return Failure.HEAD_TOO_LARGE
    if _TARGET.fullmatch(target) is None and (target != b"*" or method != b"OPTIONS"):
        return Failure.MALFORMED
    return _refusal_of_headers(headers, ended=ended)


def _refusal_of_headers(headers: Iterable[tuple[bytes, bytes]], *, ended: bool) -> Failure | None:
    lengths = 0  # Content-Length headers
    for name, value in headers:
        if _CONTROL.search(value):
            return Failure.MALFORMED
        if name == b"host":
            if value not in good_hosts and not known_host(value):
                return Failure.MALFORMED
        elif name == b"content-length":
            lengths += 1
            if lengths > 1 or (ended and int(value)):  # h2 checks its form, and that it matches the body, if any
                return Failure.MALFORMED
        elif name == b"expect" and any(
            member.strip() not in (b"", b"100-continue") for member in value.lower().split(b",")
        ):
            return Failure.EXPECTATION_FAILED
    return None
