"""Who gets the page of a refused reload, and what is in it. tests/faults/test_watching.py has it in real servers."""

from __future__ import annotations

import pytest

from poolctl.runtime.app import refusal_page
from poolctl.runtime.app.refusal_page import TOKEN_COOKIE, TOKEN_HEADER, RefusalPage

NAVIGATES = {"accept": "text/html,*/*;q=0.8", "sec-fetch-mode": "navigate"}


def ask(page: RefusalPage, headers: dict[str, str], method: str = "GET") -> refusal_page.Answer | None:
    return page.answer(method, lambda name: headers.get(name, ""))


@pytest.fixture
def shown() -> RefusalPage:
    page = RefusalPage()
    page.show("app.py changed", "Generation 1 serves.", "Traceback\n  <b>")
    return page


def test_nobody_gets_a_page_that_is_not_shown(shown: RefusalPage) -> None:
    assert ask(RefusalPage(), NAVIGATES) is None
    shown.clear()
    assert ask(shown, NAVIGATES) is None
    assert ask(shown, {TOKEN_HEADER: "any"}, "HEAD") is None


@pytest.mark.parametrize(
    ("headers", "method", "gets"),
    [
        (NAVIGATES, "GET", True),
        (NAVIGATES, "HEAD", True),
        (NAVIGATES, "POST", False),
        ({"accept": "text/html"}, "GET", True),
        ({"accept": "*/*"}, "GET", False),
        ({}, "GET", False),
        ({"accept": "text/html", "sec-fetch-mode": "cors"}, "GET", False),
        ({"accept": "image/avif,*/*", "sec-fetch-mode": "no-cors"}, "GET", False),
        ({**NAVIGATES, "cookie": f"{TOKEN_COOKIE}=0123456789abcdef"}, "GET", True),
    ],
)
def test_only_browsers_that_open_a_page_get_it(
    shown: RefusalPage, headers: dict[str, str], method: str, gets: bool
) -> None:
    assert (ask(shown, headers, method) is not None) == gets


def test_its_script_learns_whether_it_is_still_shown(shown: RefusalPage) -> None:
    page = ask(shown, NAVIGATES)
    assert page is not None
    token = dict(page.headers)[TOKEN_HEADER]
    for _ in range(2):
        asked = ask(shown, {TOKEN_HEADER: token, "sec-fetch-mode": "cors"}, "HEAD")
        assert asked is not None
        assert (asked.status, dict(asked.headers)[TOKEN_HEADER], asked.body) == (204, token, b"")
    shown.show("app.py changed", "Generation 1 serves.", "another")
    asked = ask(shown, {TOKEN_HEADER: token}, "HEAD")
    assert asked is not None
    assert dict(asked.headers)[TOKEN_HEADER] != token


def test_everything_in_it_is_escaped_and_nothing_is_loaded() -> None:
    page = RefusalPage()
    page.show("<i>&{title}", '"serves"', "</pre><script>alert('{token}')</script>")
    answer = ask(page, NAVIGATES)
    assert answer is not None
    text = answer.body.decode()
    assert "<h1>&lt;i&gt;&amp;{title}</h1>" in text
    assert "&quot;serves&quot;" in text
    assert "<pre>&lt;/pre&gt;&lt;script&gt;alert(&#x27;{token}&#x27;)&lt;/script&gt;</pre>" in text
    assert text.count("<script") == 1
    headers = dict(answer.headers)
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert (headers["Cache-Control"], headers["Content-Length"]) == ("no-store", str(len(answer.body)))


@pytest.mark.parametrize("text", ["x" * (1 << 20), "\udcff\ud800", "é" * (1 << 17), ""])
def test_any_text_can_be_shown(text: str) -> None:
    page = RefusalPage()
    page.show("title", "serves", text)
    answer = ask(page, NAVIGATES)
    assert answer is not None
    assert b"<h1>title</h1>" in answer.body
