"""Parsing the format of a log line, in the directives of Apache's mod_log_config, into a template and its parts.

Each part is an expression over the names that ``line.py`` provides for a request. Text of the topology never becomes
part of an expression; it goes into the template between the parts.
"""

from __future__ import annotations

import re

COMMON = '%h %l %u %t "%r" %>s %b'
COMBINED = COMMON + ' "%{Referer}i" "%{User-Agent}i"'
JSON = "json"

_DIRECTIVE = re.compile(r"%(?:>?(?P<plain>[a-zA-Z%])|\{(?P<name>[^{}%\"\s]{1,64})\}(?P<kind>[a-zA-Z]))?")

PARTS: dict[str, tuple[str, ...]] = {
    "h": ("%s", "peer.client_host or '-'"),
    "l": ("-",),
    "u": ("%s", "fields[0]"),
    "t": ("[%s]", "stamp"),
    "r": ("%s %s HTTP/%s", "request.method", "target", "request.version"),
    "m": ("%s", "request.method"),
    "U": ("%s", "target.partition('?')[0]"),
    "q": ("%s", "''.join(target.partition('?')[1:])"),
    "H": ("HTTP/%s", "request.version"),
    "s": ("%s", "status"),
    "b": ("%s", "size or '-'"),
    "B": ("%d", "size"),
    "D": ("%d", "nanoseconds // 1000"),
    "T": ("%d", "nanoseconds // 1000000000"),
    "p": ("%s", "peer.server_port or '-'"),
    "P": ("%d", "getpid()"),
    "%": ("%%",),
}
OF_THE_REQUEST = frozenset("rmUqH")  # unknown if a client was turned away before it sent one
UNITS = {"s": "nanoseconds // 1000000000", "ms": "nanoseconds // 1000000", "us": "nanoseconds // 1000"}

# Name, template and expression of each member of a JSON object; strings include their quotes.
MEMBERS = (
    ("time", '"%s"', "stamp"),
    ("address", '"%s"', "peer.client_host"),
    ("user", "%s", "fields[0]"),
    ("method", '"%s"', "request.method"),
    ("target", "%s", "target"),
    ("protocol", '"HTTP/%s"', "request.version"),
    ("status", "%s", "'null' if status == '-' else status"),
    ("bytes", "%d", "size"),
    ("referer", "%s", "fields[1]"),
    ("user_agent", "%s", "fields[2]"),
    ("duration", "%.6f", "nanoseconds / 1e9"),
    ("pid", "%d", "getpid()"),
    ("worker", '"%s"', "worker"),
)
MEMBERS_OF_THE_REQUEST = ("method", "target", "protocol")


def parse(text: str, *, known: bool = True) -> tuple[str, list[str], list[bytes]]:
    """Return a %-template, the expression for each of its placeholders, and the headers (lower case) of ``fields[1:]``.

    ``known``: whether there is a request. Raises ValueError for an unknown directive.
    """
    if text == JSON:
        members = [
            each if known or each[0] not in MEMBERS_OF_THE_REQUEST else (each[0], "null", "") for each in MEMBERS
        ]
        template = "{" + ", ".join(f'"{name}": {form}' for name, form, _ in members) + "}"
        return template, [part for *_, part in members if part], [b"referer", b"user-agent"]
    headers: list[bytes] = []
    expressions: list[str] = []
    template, end = "", 0
    for found in _DIRECTIVE.finditer(text):
        template += text[end : found.start()].replace("%", "%%")
        end = found.end()
        form, *parts = _part(found, headers) if known or found["plain"] not in OF_THE_REQUEST else ("-",)
        template += form
        expressions += parts
    return template + text[end:], expressions, headers


def _part(found: re.Match[str], headers: list[bytes]) -> tuple[str, ...]:
    if found["plain"] in PARTS:
        return PARTS[found["plain"]]
    name, kind = found["name"], found["kind"]
    if kind == "i" and name.isascii():
        headers.append(name.lower().encode())
        return "%s", f"fields[{len(headers)}]"
    if kind == "T" and name in UNITS:
        return "%d", UNITS[name]
    if kind == "P" and name == "pid":
        return PARTS["P"]
    if kind == "P" and name == "worker":
        return "%s", "worker"
    known = " ".join(f"%{letter}" for letter in PARTS)
    raise ValueError(
        f'unknown directive "{found[0]}"; use {known} %>s %{{HEADER}}i %{{ms}}T %{{us}}T %{{pid}}P %{{worker}}P'
    )
