"""Accept-Encoding, case by case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolctl.runtime.protocol.http.encodings import accepted

OFFERED = ("br", "gzip")


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("", []),
        ("gzip", ["gzip"]),
        ("gzip, deflate, br, zstd", ["br", "gzip"]),
        ("gzip;q=1.0, br;q=0.5", ["gzip", "br"]),
        ("br ; q=0.001", ["br"]),
        ("GZIP", ["gzip"]),
        ("x-gzip", ["gzip"]),
        ("*", ["br", "gzip"]),
        ("*;q=0.5, gzip", ["gzip", "br"]),
        ("br;q=0, *", ["gzip"]),
        ("*;q=0", []),
        ("identity", []),
        ("gzip;q=0", []),
        ("gzip;q=0.000", []),
        ("gzip;q=2", []),
        ("gzip;q=nan", []),
        ("gzip;level=9", []),
        ("gzip;q=1;q=1", []),
        (" , ,gzip", ["gzip"]),
    ],
)
def test_accepted_codings(field: str, expected: list[str]) -> None:
    assert accepted(field, OFFERED) == expected


@given(st.text(max_size=50))
def test_any_text_accepts_only_offered_codings(field: str) -> None:
    assert set(accepted(field, OFFERED)) <= set(OFFERED)
