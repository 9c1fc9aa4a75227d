"""The path of a target, for the files of ``static`` and for strategies and affinities that use it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from poolctl.runtime.app.static.path import origin
from poolctl.runtime.task import NOBODY, Task

# a target, and its path and query (RFC 9112, 3.2; an empty path is /: RFC 9110, 4.2.3)
TARGETS = {
    b"/": b"/",
    b"/a/b?c=d": b"/a/b?c=d",
    b"/a?b=http://c/d": b"/a?b=http://c/d",
    b"//a/b": b"//a/b",
    b"http://a": b"/",
    b"http://a/": b"/",
    b"http://a/b?c": b"/b?c",
    b"http://a?b=/c/d": b"/?b=/c/d",
    b"HTTPS://[::1]:80/b?c=/d": b"/b?c=/d",
    b"http://a?b=http://c/d": b"/?b=http://c/d",
}


@dataclass
class Head:
    target: bytes
    method: str = "GET"
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


@pytest.mark.parametrize("target", TARGETS)
def test_the_path_of_a_target(target: bytes) -> None:
    expected = TARGETS[target]
    assert origin(target) == expected
    assert Task(NOBODY, asked=Head(target)).path == expected.partition(b"?")[0].decode()


def test_the_path_of_an_asterisk() -> None:
    assert Task(NOBODY, asked=Head(b"*")).path == "*"
