"""What a client sees of a server: who answered. One interface for all apps, over the harness's Client."""

from __future__ import annotations

import itertools
import re
import socket
from typing import NamedTuple, Self

from harness.client import Client

SESSION = "Mcp-Session-Id"
ANSWER = re.compile(r"(.+) (\d+)")


class Who(NamedTuple):
    """The thread that answered, and its process. ``echo`` cannot tell: it answers with nobody."""

    thread: str
    process: int

    @property
    def worker(self) -> str:
        """Without the number of the thread in its process."""
        return self.thread.partition(".")[0]


class Talk:
    """One connection. ``hold``: seconds that the worker is kept busy; ``last``: nothing comes after this request."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self.client = Client(port, source=source)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.client.close()

    def ask(self, hold: float = 0, *, last: bool = False) -> None:
        raise NotImplementedError

    def answer(self) -> Who:
        raise NotImplementedError

    def who(self, hold: float = 0, *, last: bool = False) -> Who:
        self.ask(hold, last=last)
        return self.answer()


class HttpTalk(Talk):
    """With the demo app, or ``who.answer``. ``session``: the name of the one that the requests belong to."""

    session = ""

    def ask(self, hold: float = 0, *, last: bool = False) -> None:
        headers = [f"{SESSION}: {self.session}"] if self.session else []
        self.client.ask(f"/sleep?seconds={hold}" if hold else "/", close=last, headers=headers)

    def answer(self) -> Who:
        response = self.client.answer()
        assert response.status == 200, response
        return Who(response.worker, response.process)


class LinesTalk(Talk):
    """With ``who.line`` and ``who.talk``."""

    def ask(self, hold: float = 0, *, last: bool = False) -> None:
        self.client.send(f"who {hold}\n".encode())
        if last:
            self.client.sock.shutdown(socket.SHUT_WR)

    def answer(self) -> Who:
        line = self.client.line().decode()
        found = ANSWER.fullmatch(line.rstrip("\n"))
        assert found, repr(line)
        return Who(found[1], int(found[2]))


class EchoTalk(Talk):
    """With the echo app; every request is another one."""

    numbers = itertools.count()

    def ask(self, hold: float = 0, *, last: bool = False) -> None:
        self.sent = b"%d\n" % next(self.numbers)
        self.client.send(self.sent)
        if last:
            self.client.sock.shutdown(socket.SHUT_WR)

    def answer(self) -> Who:
        assert self.client.line() == self.sent
        return Who("", 0)


TALKS: dict[str, type[Talk]] = {
    "demo": HttpTalk,
    "asgi": HttpTalk,
    "lines": LinesTalk,
    "stream": LinesTalk,
    "echo": EchoTalk,
}
APPS = {
    "demo": "demo",
    "asgi": {"asgi": "who:answer"},
    "lines": {"lines": "who:line"},
    "stream": {"stream": "who:talk"},
    "echo": "echo",
}
