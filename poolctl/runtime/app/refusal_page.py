"""The page that browsers get in development while the last reload is refused. All other clients get the app.

    supervisor: show, clear --> [ memory that all processes share ] <-- each call of a wrapped app, in every worker

Only under `poolctl run --watch` is there a page, and are apps wrapped: without it a request does nothing more.

    memory: token (16 bytes; zeros: no page), length of the text (8 bytes), text in UTF-8

The supervisor writes the token last and clears it first, so a text whose token was the same before and after it was
read is whole.

The page asks the server every second whether its token is still the one that is shown, and reloads itself when it is
not. Whoever wants the app anyway gets a cookie with the token, which counts until another reload is refused.
"""

from __future__ import annotations

import html
import mmap
import os
import struct
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any, NamedTuple

PAGE_BYTES = 1 << 17  # of the text; a traceback has at most 100,000
TOKEN_BYTES = 8  # random ones, twice as many in hexadecimal
TEXT_LENGTH = struct.Struct("<Q")
TEXT_AT = 2 * TOKEN_BYTES + TEXT_LENGTH.size
NO_TOKEN = bytes(2 * TOKEN_BYTES)
TOKEN_HEADER = "poolctl-refused"  # of the page's own requests, and of the answers
TOKEN_COOKIE = "poolctl-refused"

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style nonce="{token}">
:root {{ color-scheme: light dark }}
body {{ max-width: 60rem; margin: 3rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif }}
h1 {{ font-size: 1.4rem; color: light-dark(#b3261e, #f2b8b5) }}
pre {{ padding: 1rem; border-radius: .4rem; background: light-dark(#f4f1ee, #26221f); overflow-x: auto;
      font: .85rem/1.5 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere }}
button {{ font: inherit; padding: .3rem .8rem }}
</style>
<h1>{title}</h1>
<p>{serves} This page reloads itself when the error is fixed.</p>
<pre>{text}</pre>
<button hidden>Show the app anyway</button>
<noscript>Reload the page when the error is fixed.</noscript>
<script nonce="{token}">
const token = "{token}", button = document.querySelector("button");
button.hidden = false;
button.onclick = () => {{
  document.cookie = "{cookie}=" + token + "; path=/; samesite=lax";
  location.reload();
}};
async function look() {{
  try {{
    const asked = {{method: "HEAD", cache: "no-store", redirect: "manual", headers: {{"{header}": token}}}};
    if ((await fetch(location.href, asked)).headers.get("{header}") !== token) return location.reload();
  }} catch {{ }}  // the server cannot be reached: it may be about to restart
  setTimeout(look, 1000);
}}
setTimeout(look, 1000);
</script>
</html>
"""

WsgiCallable = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
AsgiCallable = Callable[[dict[str, Any], Any, Callable[[dict[str, Any]], Awaitable[None]]], Any]


class Answer(NamedTuple):
    """An answer in place of the app's."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""


class RefusalPage:
    """What the page says, if it is shown. Created in the supervisor before it forks anything."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, TEXT_AT + PAGE_BYTES)

    def show(self, title: str, serves: str, text: str) -> None:
        """Show the page, in place of another. ``title`` and ``serves``, what goes on serving, are one line each."""
        self.clear()
        data = f"{title}\n{serves}\n{text}".encode("utf-8", "replace")[:PAGE_BYTES]
        self._memory[2 * TOKEN_BYTES : TEXT_AT + len(data)] = TEXT_LENGTH.pack(len(data)) + data
        self._memory[: 2 * TOKEN_BYTES] = os.urandom(TOKEN_BYTES).hex().encode()

    def clear(self) -> None:
        """Show the app to everybody."""
        self._memory[: 2 * TOKEN_BYTES] = NO_TOKEN

    def answer(self, method: str, header: Callable[[str], str]) -> Answer | None:
        """Return the page if this request gets it, or what its script asks for; None: the app answers. ``header``:
        returns the value of a header by its name in lower case, empty if there is none."""
        token = self._memory[: 2 * TOKEN_BYTES]
        if token == NO_TOKEN or method not in ("GET", "HEAD"):
            return None
        shown = token.decode()
        if header(TOKEN_HEADER):
            return Answer(204, [("Cache-Control", "no-store"), (TOKEN_HEADER, shown)])
        # browsers say what a request is for, except to plain HTTP on another host than this one
        navigates = header("sec-fetch-mode") in ("navigate", "") and "text/html" in header("accept")
        if not navigates or f"{TOKEN_COOKIE}={shown}" in header("cookie"):
            return None
        (length,) = TEXT_LENGTH.unpack(self._memory[2 * TOKEN_BYTES : TEXT_AT])
        data = self._memory[TEXT_AT : TEXT_AT + length]
        if self._memory[: 2 * TOKEN_BYTES] != token:
            return None  # it has changed meanwhile
        return _response(shown, data.decode("utf-8", "ignore"))

    def wrap_wsgi(self, application: WsgiCallable) -> WsgiCallable:
        """Return a WSGI application that answers with the page or by ``application``."""

        def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            def header(name: str) -> str:
                return str(environ.get("HTTP_" + name.upper().replace("-", "_"), ""))

            found = self.answer(environ["REQUEST_METHOD"], header)
            if found is None:
                return application(environ, start_response)
            start_response(f"{found.status} {HTTPStatus(found.status).phrase}", found.headers)
            return [found.body]

        return call

    def wrap_asgi(self, application: AsgiCallable) -> AsgiCallable:
        """Return an ASGI application that answers with the page or by ``application``."""

        def call(scope: dict[str, Any], receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]) -> Any:
            if scope["type"] == "http":
                headers = dict(scope["headers"])
                found = self.answer(scope["method"], lambda name: headers.get(name.encode(), b"").decode("latin-1"))
                if found is not None:
                    return _send(found, send)
            return application(scope, receive, send)

        return call


async def _send(answer: Answer, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _response(token: str, text: str) -> Answer:
    title, serves, rest = (html.escape(part) for part in (*text.split("\n", 2), "", "")[:3])
    page = PAGE.format(
        title=title, serves=serves, text=rest, token=token, header=TOKEN_HEADER, cookie=TOKEN_COOKIE
    ).encode()
    nonce = f"'nonce-{token}'"
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(len(page))),
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", f"default-src 'none'; style-src {nonce}; script-src {nonce}; connect-src 'self'"),
        (TOKEN_HEADER, token),
    ]
    return Answer(500, headers, page)
