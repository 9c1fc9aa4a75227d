"""A cookie of a task, as clients write it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from poolctl.runtime.task import NOBODY, Task


@dataclass
class Head:
    headers: list[tuple[bytes, bytes]]
    method: str = "GET"
    target: bytes = b"/"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (b"sid=a", "a"),
        (b"x=1; sid=a", "a"),
        (b'x=1;sid="a"', "a"),
        (b"sid = a ; x=1", "a"),
        (b"sid=a=b", "a=b"),
        (b"xsid=1; sidx=2; SID=3", None),
        (b"sid", None),
    ],
)
def test_a_cookie_is_found(written: bytes, value: str | None) -> None:
    assert Task(NOBODY, asked=Head([(b"Cookie", written)])).cookie("sid") == value
