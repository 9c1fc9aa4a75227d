"""Conditional and range requests: RFC 9110, 13 and 14, case by case."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolctl.runtime.protocol.http.conditions import CONDITIONS, MOST_RANGES, applies, matches, ranges, values, verdict

TAG = '"a-1"'
CHANGED = 784111777
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
EARLIER, LATER = formatdate(CHANGED - 1, usegmt=True), formatdate(CHANGED + 1, usegmt=True)
OTHER = '"b"'


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 200),
        ({"if-match": TAG}, 200),
        ({"if-match": "*"}, 200),
        ({"if-match": f"{OTHER}, {TAG}"}, 200),
        ({"if-match": f"W/{TAG}"}, 412),  # a strong comparison (13.1.1)
        ({"if-match": OTHER}, 412),
        ({"if-match": ""}, 412),
        ({"if-match": TAG, "if-unmodified-since": EARLIER}, 200),  # the date does not count beside the tag (13.1.4)
        ({"if-unmodified-since": EARLIER}, 412),
        ({"if-unmodified-since": DATE}, 200),
        ({"if-unmodified-since": "yesterday"}, 200),
        ({"if-none-match": TAG}, 304),
        ({"if-none-match": f"W/{TAG}"}, 304),  # a weak comparison (13.1.2)
        ({"if-none-match": "*"}, 304),
        ({"if-none-match": OTHER}, 200),
        ({"if-none-match": OTHER, "if-modified-since": LATER}, 200),  # nor does this date (13.1.3)
        ({"if-none-match": TAG, "if-modified-since": EARLIER}, 304),
        ({"if-modified-since": DATE}, 304),
        ({"if-modified-since": LATER}, 304),
        ({"if-modified-since": EARLIER}, 200),
        ({"if-modified-since": "Sunday, 06-Nov-94 08:49:37 GMT"}, 304),  # all three forms (5.6.7)
        ({"if-modified-since": "Sun Nov  6 08:49:37 1994"}, 304),
        ({"if-modified-since": "Sun, 99 Nov 1994 99:49:37 GMT"}, 200),
        ({"if-modified-since": "12345"}, 200),
        ({"if-modified-since": f"{DATE}, {DATE}"}, 200),  # more than one member (13.1.3)
        ({"if-modified-since": f"{DATE} +0100"}, 200),
        ({"if-unmodified-since": f"{EARLIER}, {EARLIER}"}, 200),
        ({"if-match": OTHER, "if-none-match": TAG}, 412),  # in the order of 13.2.2
        ({"if-match": TAG, "if-none-match": TAG}, 304),
        ({"if-unmodified-since": LATER, "if-none-match": TAG}, 304),
    ],
)
def test_the_verdict(headers: dict[str, str], code: int) -> None:
    given_ = values([(name.title().encode(), value.encode()) for name, value in headers.items()], CONDITIONS)
    assert verdict(given_, TAG, CHANGED) == code


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ('"x","a-1"', True),
        (' ,, "x" ,, "a-1" ,', True),
        ('"with,comma", "a-1"', True),
        ("a-1", False),
        ('"x" "a-1"', False),
        ('x, "a-1"', False),
        ('"a-1', False),
        ('* , "a-1"', False),
    ],
)
def test_lists_of_tags(field: str, found: bool) -> None:
    assert matches(field, TAG, weak=True) is found


def test_repeated_headers_are_one_list() -> None:
    lines = [(b"If-Match", b'"x"'), (b"Host", b"shop"), (b"if-match", TAG.encode())]
    assert values(lines, CONDITIONS) == {b"if-match": f'"x", {TAG}'}


@pytest.mark.parametrize(
    ("if_range", "now", "counts"),
    [
        (None, CHANGED, True),
        (TAG, CHANGED, True),
        (OTHER, CHANGED, False),
        (f"W/{TAG}", CHANGED, False),
        (DATE, CHANGED + 1, True),
        (DATE, CHANGED + 0.5, False),  # it may have changed again within that second (8.8.2.2)
        (LATER, CHANGED + 9, False),
        (EARLIER, CHANGED + 9, False),
        ("nonsense", CHANGED + 9, False),
    ],
)
def test_if_range(if_range: str | None, now: float, counts: bool) -> None:
    assert applies(if_range, TAG, CHANGED, now) is counts


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("bytes=0-499", [(0, 500)]),  # the examples of 14.1.2
        ("bytes=500-999", [(500, 500)]),
        ("bytes=-500", [(9500, 500)]),
        ("bytes=9500-", [(9500, 500)]),
        ("bytes=0-0,-1", [(0, 1), (9999, 1)]),
        ("bytes= 0-999, 4500-5499, -1000", [(0, 1000), (4500, 1000), (9000, 1000)]),
        ("BYTES=0-0", [(0, 1)]),
        ("bytes=-99999", [(0, 10000)]),
        ("bytes=9999-99999", [(9999, 1)]),
        ("bytes=10000-", []),
        ("bytes=-0", []),
        ("bytes=10000-,0-0", [(0, 1)]),
        ("bytes=1-0", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=,0-0 ,, 2-3,", [(0, 1), (2, 2)]),  # empty elements are ignored (5.6.1)
        ("bytes=,", None),
        ("bytes=a-b", None),
        ("bytes=+1-2", None),
        ("bytes=1--2", None),
        ("bytes=0x1-2", None),
        ("bytes 0-0", None),
        ("seconds=0-1", None),
        ("bytes=" + "9" * 30 + "-", None),
        ("bytes=" + ",".join(["0-0"] * MOST_RANGES), [(0, 1)] * MOST_RANGES),
        ("bytes=" + ",".join(["0-0"] * (MOST_RANGES + 1)), None),
        ("bytes=0-,0-", None),  # more than the whole
    ],
)
def test_ranges(field: str, found: list[tuple[int, int]] | None) -> None:
    assert ranges(field, 10_000) == found


def test_an_empty_file_has_no_ranges() -> None:
    assert ranges("bytes=0-0", 0) is None


@given(st.text("bytes=-,0123456789 ", max_size=40), st.integers(0, 300))
def test_ranges_are_within_the_size(words: str, size: int) -> None:
    for field in (words, f"bytes={words}"):
        found = ranges(field, size)
        for offset, count in found or ():
            assert 0 <= offset < offset + count <= size
        assert sum(count for _, count in found or ()) <= size


@given(st.text(max_size=40))
def test_any_text_has_a_verdict(words: str) -> None:
    for name in CONDITIONS:
        assert verdict({name: words}, TAG, CHANGED) in (200, 304, 412)
    assert applies(words, TAG, CHANGED, CHANGED) in (True, False)
