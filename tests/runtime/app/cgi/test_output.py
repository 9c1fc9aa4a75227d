"""The head of what a CGI program writes (RFC 3875, 6): the four responses, split anywhere, and what is refused."""

from __future__ import annotations

import pytest

from poolctl.runtime.app.cgi.output import MalformedOutput, OutputHead

HEADS = [
    (b"Content-Type: text/plain\n\n", "200 OK", [("Content-Type", "text/plain")], b""),
    (b"Content-Type: a/b\r\nStatus: 404\r\n\r\n", "404 Not Found", [("Content-Type", "a/b")], b""),
    (b"STATUS: 299 Nearly Right\nContent-Type: a/b\n\n", "299 Nearly Right", [("Content-Type", "a/b")], b""),
    (b"Location: /other?a=b\n\n", "", [("Location", "/other?a=b")], b"/other?a=b"),
    (b"Location: http://x/\n\n", "302 Found", [("Location", "http://x/")], b""),
    (b"Location: //x/\n\n", "302 Found", [("Location", "//x/")], b""),  # an authority: not local
    (b"Location: /a\nX-B: c\n\n", "302 Found", [("Location", "/a"), ("X-B", "c")], b""),
    (b"Status: 301\nLocation: /a\n\n", "301 Moved Permanently", [("Location", "/a")], b""),
    (b"Content-Type: a/b\nConnection: close\nStatus:\n\n", "200 OK", [("Content-Type", "a/b")], b""),
]


@pytest.mark.parametrize(("text", "status", "headers", "redirect"), HEADS)
def test_a_head_is_read_wherever_it_is_split(
    text: bytes, status: str, headers: list[tuple[str, str]], redirect: bytes
) -> None:
    for cut in range(len(text)):
        head = OutputHead(1000, 10)
        assert not head.receive(text[:cut])
        assert head.receive(text[cut:] + b"the body\n\n")
        assert (head.status, head.headers, head.redirect) == (status, headers, redirect)
        assert head.rest == b"the body\n\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"\nbody", "begins with an empty line"),
        (b"\r\nbody", "begins with an empty line"),
        (b"X-A: b\n\n", "neither Content-Type nor Location nor Status"),
        (b"Status: 200\nStatus: 404\n\n", "two Status headers"),
        (b"Status: many\n\n", "many"),
        (b"Content-Type\n\n", "no colon"),
        (b"Content-Type: a/b\nX A: b\n\n", "is not a header"),
        (b"Content-Type: a\rb\n\n", "is not a header"),
        (b"A: b\n" * 11 + b"\n", "11 headers, more than 10"),
        (b"Content-Type: " + b"a" * 1000, "longer than 1000 bytes"),
        (b"Content-Type: " + b"a" * 1000 + b"\n\n", "longer than 1000 bytes"),
    ],
)
def test_what_is_no_response_is_refused_with_its_reason(text: bytes, why: str) -> None:
    with pytest.raises(MalformedOutput, match=why):
        OutputHead(1000, 10).receive(text)


@pytest.mark.parametrize(
    ("text", "why"), [(b"", "it is empty"), (b"Status: 200\n", "after 12 bytes, before the empty line")]
)
def test_an_output_that_ends_too_early(text: bytes, why: str) -> None:
    head = OutputHead(1000, 10)
    assert not head.receive(text)
    with pytest.raises(MalformedOutput, match=why):
        head.ended()
