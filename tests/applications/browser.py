"""What a browser does on its connections, where it differs from what other clients do: six of them to a host, kept and
used again after a while, one that is opened ahead of need, many headers, large cookies, questions whether a page has
changed, downloads that are broken off."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from harness.client import Client, Response

PARALLEL = 6
HEADERS = """Host: 127.0.0.1:{port}
Connection: keep-alive
Cache-Control: max-age=0
sec-ch-ua: "Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"
sec-ch-ua-mobile: ?0
sec-ch-ua-platform: "Linux"
Upgrade-Insecure-Requests: 1
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8
Sec-Fetch-Site: same-origin
Sec-Fetch-Mode: navigate
Sec-Fetch-User: ?1
Sec-Fetch-Dest: document
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-US,en;q=0.9,de;q=0.8
"""


class Tab(Client):
    """One connection of a browser."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._headers = HEADERS.format(port=port).replace("\n", "\r\n")

    def visit(self, target: str, *, method: str = "GET", **more: str) -> Response:
        """A request with all that a browser says, and its response; a keyword is a header more."""
        self.go(target, method=method, **more)
        return self.answer(head=method == "HEAD")

    def go(self, target: str, *, method: str = "GET", **more: str) -> None:
        """Only the request."""
        added = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in more.items())
        self.send(f"{method} {target} HTTP/1.1\r\n{self._headers}{added}\r\n".encode())


@contextlib.contextmanager
def tabs(port: int) -> Iterator[list[Tab]]:
    """As many connections as a browser opens to a host."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Tab(port)) for _ in range(PARALLEL)]


def load(opened: list[Tab], targets: list[str]) -> list[Response]:
    """The parts of a page, as its connections fall free; answers in the order of the targets."""

    def fetch(number: int) -> list[Response]:
        return [opened[number].visit(target) for target in targets[number::PARALLEL]]

    with ThreadPoolExecutor(PARALLEL) as pool:
        parts = list(pool.map(fetch, range(PARALLEL)))
    return [parts[index % PARALLEL][index // PARALLEL] for index in range(len(targets))]
