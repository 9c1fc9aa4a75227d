"""Conditional and range requests (RFC 9110, 13 and 14), for a representation with a strong entity tag and a
modification time. Pure functions of the headers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_tz

MOST_RANGES = 16  # in one request; a request with more gets the whole representation
_TAG = re.compile(r'[ \t,]*(W/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?=,|$)')
_DATE = re.compile(
    r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"
    r"|[A-Z][a-z]+day, \d\d-[A-Z][a-z]{2}-\d\d \d\d:\d\d:\d\d GMT"
    r"|[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}",
    re.ASCII,
)
_SPEC = re.compile(r"(\d{0,18})-(\d{0,18})", re.ASCII)


def values(headers: Iterable[tuple[bytes, bytes]], names: frozenset[bytes]) -> dict[bytes, str]:
    """Return the values of the headers in ``names`` (lower case); repeated headers are joined (RFC 9110, 5.3)."""
    found: dict[bytes, str] = {}
    for name, value in headers:
        lowered = name.lower()
        if lowered in names:
            text = value.decode("latin-1")
            found[lowered] = f"{found[lowered]}, {text}" if lowered in found else text
    return found


CONDITIONS = frozenset(
    (b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range", b"range")
)


def verdict(given: Mapping[bytes, str], tag: str, changed: int) -> int:
    """Return 412, 304 or 200 for a GET or HEAD with these conditions, evaluated in the order of RFC 9110, 13.2.2.

    ``changed``: the modification time, in seconds since the epoch.
    """
    if b"if-match" in given:
        if not matches(given[b"if-match"], tag, weak=False):
            return 412
    elif b"if-unmodified-since" in given:
        limit = seconds(given[b"if-unmodified-since"])
        if limit is not None and changed > limit:
            return 412
    if b"if-none-match" in given:
        if matches(given[b"if-none-match"], tag, weak=True):
            return 304
    elif b"if-modified-since" in given:
        limit = seconds(given[b"if-modified-since"])
        if limit is not None and changed <= limit:
            return 304
    return 200


def matches(field: str, tag: str, *, weak: bool) -> bool:
    """Return whether a list of entity tags, or ``*``, contains this strong tag. Weak tags match only in a ``weak``
    comparison (RFC 9110, 8.8.3.2). Nothing after a malformed tag matches."""
    if field.strip() == "*":
        return True
    position = 0
    while found := _TAG.match(field, position):
        if found[2] == tag and (weak or not found[1]):
            return True
        position = found.end()
    return False


def seconds(date: str) -> int | None:
    """Return an HTTP-date in any of its three forms (RFC 9110, 5.6.7) as seconds since the epoch; None for anything
    else, such as two dates."""
    if _DATE.fullmatch(date.strip(" \t")) is None:
        return None
    try:
        parsed = parsedate_tz(date)
        return None if parsed is None else int(datetime(*parsed[:6], tzinfo=UTC).timestamp()) - (parsed[9] or 0)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def applies(if_range: str | None, tag: str, changed: int, now: float) -> bool:
    """Return whether the Range of a request applies (RFC 9110, 13.1.5): there is no If-Range, or it has the same strong
    tag, or exactly this date, which is a strong validator once it is a second old (8.8.2.2)."""
    if if_range is None:
        return True
    if '"' in if_range:
        return if_range.strip() == tag
    return seconds(if_range) == changed and now - changed >= 1


def ranges(field: str, size: int) -> list[tuple[int, int]] | None:
    """Return the (offset, count) pairs that a Range requests from ``size`` bytes (RFC 9110, 14.1.2); an empty list if
    none can be satisfied.

    None if the field must be ignored: malformed, in another unit, too many ranges, or together more than the whole.
    """
    unit, equals, specs = field.partition("=")
    if not equals or unit.strip().lower() != "bytes" or not size:
        return None
    words = [bare for word in specs.split(",") if (bare := word.strip(" \t"))]  # empty elements are ignored (5.6.1)
    if not 0 < len(words) <= MOST_RANGES:
        return None
    found = []
    for word in words:
        spec = _SPEC.fullmatch(word)
        if spec is None or word == "-":
            return None
        first, last = spec.groups()
        if first and last and int(last) < int(first):
            return None
        start = int(first) if first else max(0, size - int(last))
        end = min(int(last), size - 1) if first and last else size - 1
        if start <= end:
            found.append((start, end - start + 1))
    return None if sum(count for _, count in found) > size else found
