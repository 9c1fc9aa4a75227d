"""Parsing the head of a CGI program's output (RFC 3875, 6) into a status and headers, or a redirect. No I/O."""

from __future__ import annotations

import re

from poolctl.runtime.protocol.http.encode import HOP_BY_HOP, encode_header, status_line, status_text

Headers = list[tuple[str, str]]

_END = re.compile(rb"\n\r?\n")  # NL is \n, as on Unix; \r\n is accepted too
_LOCAL = re.compile(r"/(?!/)[!-\"$-~]*")  # a local-pathquery: no authority, no fragment, no white space
_CGI_FIELDS = frozenset(("content-type", "location", "status"))


class MalformedOutput(ValueError):
    """The program's output is not a CGI response; the message says why."""


class OutputHead:
    """Parses the output, in pieces of any size, until the head is complete.

    ``status``    for instance "200 OK"
    ``headers``   (name, value) in order, without hop-by-hop headers
    ``redirect``  the target of a local redirect, otherwise b""
    ``rest``      the bytes received after the head
    """

    def __init__(self, limit: int, headers: int) -> None:
        """``limit``: maximum size of the head in bytes; ``headers``: maximum number of headers."""
        self._limit = limit
        self._count = headers
        self._held = bytearray()
        self.status = ""
        self.headers: Headers = []
        self.redirect = b""
        self.rest = b""

    def receive(self, data: bytes) -> bool:
        """Parse further output. Return whether the head is complete. Raises MalformedOutput."""
        searched = max(len(self._held) - 2, 0)
        self._held += data
        if self._held[:1] == b"\n" or self._held[:2] == b"\r\n":
            raise MalformedOutput("it begins with an empty line instead of headers")
        found = _END.search(self._held, searched)
        if (found.end() if found else len(self._held)) > self._limit:
            raise MalformedOutput(f"its headers are longer than {self._limit} bytes")
        if found is None:
            return False
        self.rest = bytes(self._held[found.end() :])
        self._read(bytes(self._held[: found.start()]))
        self._held.clear()
        return True

    def ended(self) -> None:
        """Raise MalformedOutput, as the output ended before the head was complete."""
        size = len(self._held)
        raise MalformedOutput(
            f"it ended after {size} bytes, before the empty line that ends the headers" if size else "it is empty"
        )

    def _read(self, block: bytes) -> None:
        lines = block.split(b"\n")
        if len(lines) > self._count:
            raise MalformedOutput(f"it has {len(lines)} headers, more than {self._count}")
        fields: dict[str, str] = {}
        for line in lines:
            name, value = _field(line)
            lowered = name.lower()
            if lowered in _CGI_FIELDS:
                if lowered in fields:
                    raise MalformedOutput(f"it has two {name} headers")
                fields[lowered] = value
            if lowered != "status" and lowered not in HOP_BY_HOP and (value or lowered not in _CGI_FIELDS):
                self.headers.append((name, value))
        self._judge({name: value for name, value in fields.items() if value})  # an empty field counts as absent (6.3)

    def _judge(self, fields: dict[str, str]) -> None:
        """Set the attributes for the kind of response that these fields mean (6.2)."""
        if not fields:
            raise MalformedOutput("it has neither Content-Type nor Location nor Status")
        location = fields.get("location", "")
        if "status" in fields:
            self.status = _status(fields["status"])
        elif not location:
            self.status = "200 OK"
        elif len(self.headers) == 1 and _LOCAL.fullmatch(location):
            self.redirect = location.encode("ascii")
        else:
            self.status = "302 Found"


def _field(line: bytes) -> tuple[str, str]:
    line = line.removesuffix(b"\r")
    name, colon, value = line.partition(b":")
    field = name.decode("latin-1"), value.strip(b" \t").decode("latin-1")
    try:
        if not colon:
            raise ValueError("it has no colon")
        if field[0].lower() not in HOP_BY_HOP:
            encode_header(field)
    except ValueError as error:
        raise MalformedOutput(f"the line {line[:80].decode('latin-1')!r} is not a header: {error}") from None
    return field


def _status(value: str) -> str:
    code, space, phrase = value.partition(" ")
    try:
        status = f"{code} {phrase.strip()}" if space else status_text(int(code)) if code.isdigit() else code
        status_line(status)
    except ValueError as error:
        raise MalformedOutput(str(error)) from None
    return status
