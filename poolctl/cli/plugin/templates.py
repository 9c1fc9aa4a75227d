"""What `poolctl plugin new` writes: for each kind a class that works, and a test of it."""

from __future__ import annotations

DISPATCH = '''"""{name}: a dispatch strategy for poolctl."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from poolctl.plugin import Dispatch, InboxView, Task
from pydantic import Field


@dataclass
class {cls}(Dispatch):
    """The first inbox that has little to do; when all have much, the least loaded."""

    interface: ClassVar[int] = 1

    little: Annotated[int, Field(ge=1, description="tasks of an inbox that are little")] = 2

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView:
        for inbox in inboxes:
            if inbox.load < self.little:
                return inbox
        return min(inboxes, key=lambda inbox: inbox.load)
'''
DISPATCH_TEST = '''"""{cls} keeps the contract of all strategies."""

from poolctl.testing import DispatchContract
from {module} import {cls}


class Test{cls}(DispatchContract):
    strategy = {cls}
'''
APP = '''"""{name}: an app for poolctl."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from poolctl.plugin import WsgiApp
from pydantic import Field


@dataclass
class {cls}(WsgiApp):
    """Greets everybody."""

    interface: ClassVar[int] = 1

    greeting: Annotated[str, Field(min_length=1, description="what every client gets")] = "hello"

    def find(self) -> Callable[..., Iterable[bytes]]:
        """The WSGI application (PEP 3333); called once in each worker, before it serves."""
        body = self.greeting.encode() + b"\\n"
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]

        def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            start_response("200 OK", headers)
            return [body]

        return application
'''
APP_TEST = '''"""{cls} answers."""

from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

from {module} import {cls}


def test_everybody_is_greeted() -> None:
    environ, told = {{"QUERY_STRING": ""}}, []
    setup_testing_defaults(environ)
    application = validator({cls}(greeting="good day").find())
    answer = application(environ, lambda status, headers, error=None: told.append(status))
    assert b"".join(answer) == b"good day\\n"
    answer.close()
    assert told == ["200 OK"]
'''
OWNERSHIP = '''"""{name}: an ownership for poolctl."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from poolctl.plugin import HalfSyncHalfReactive, Life, Site, load_callable
from pydantic import Field


@dataclass
class {cls}(HalfSyncHalfReactive):
    """A front owns the connections, and each worker calls a function before it takes its first request."""

    interface: ClassVar[int] = 1
    like: ClassVar[str] = "half-sync/half-reactive"

    before: Annotated[str, Field(min_length=1, description="package.module:function, which fills a cache for instance")]

    def work(self, site: Site, worker: int, life: Life) -> list[Callable[[], None]]:
        """Called in the process of the worker, in whose loops it will run."""
        load_callable(self.before)()
        return super().work(site, worker, life)
'''
OWNERSHIP_TEST = '''"""{cls} in a server."""

from pathlib import Path
from urllib.request import urlopen

import {module}
from poolctl.testing import running

SHOP = """
def warm_up():
    with open("warm", "a") as file:
        file.write("warm")
"""


def test_each_worker_is_warm_when_the_server_serves(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    ownership = {{"use": f"{{{module}.__file__}}:{cls}", "before": "shop:warm_up"}}
    topology = {{"app": "demo", "pool": {{"kind": "process", "size": 2}}, "ownership": ownership}}
    with running(topology, tmp_path) as server:
        assert (tmp_path / "warm").read_text() == "warmwarm"
        assert urlopen(f"http://127.0.0.1:{{server.port}}/").status == 200
'''
POOL = '''"""{name}: a pool for poolctl."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from poolctl.plugin import Life, Ownership, Process, Role, Site
from pydantic import Field


@dataclass
class {cls}(Process):
    """Processes that give way to others on this machine."""

    interface: ClassVar[int] = 1
    like: ClassVar[str] = "process"

    niceness: Annotated[int, Field(ge=0, le=19, description="see nice(2)")] = 5

    def roles(self, site: Site, ownership: Ownership | None) -> list[Role]:
        """As the built-in pool; each worker gives way before anything else. The front does not."""

        def gentle(role: Role) -> Role:
            def run(life: Life) -> None:
                os.nice(self.niceness)
                role.run(life)

            return replace(role, run=run) if role.rows else role

        return [gentle(role) for role in super().roles(site, ownership)]
'''
POOL_TEST = '''"""{cls} is a pool with an option."""

from poolctl.plugin import Process
from {module} import {cls}


def test_it_is_a_pool_of_processes() -> None:
    pool = {cls}(size=3, niceness=7)
    assert isinstance(pool, Process)
    assert pool.shape(3, gathers=False) == (3, 1)
    assert pool.niceness == 7
'''
PROTOCOL = '''"""{name}: a protocol for poolctl, in which a request is a record that ends with a NUL."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Annotated, ClassVar

from poolctl.plugin import Conversation, Framer, Peer, Protocol
from pydantic import Field

END = b"\\0"


class _Cutter:
    """Cuts the bytes of one connection into records; common to both halves."""

    def __init__(self, limit: int) -> None:
        self.found: deque[bytes] = deque()
        self.reply = b""
        self.failure = 0
        self._limit = limit
        self._held = b""

    def receive(self, data: bytes) -> None:
        *records, self._held = (self._held + data).split(END)
        if max(map(len, [*records, self._held])) > self._limit:
            self.failure = 413
            self._held = b""
        else:
            self.found.extend(records)

    def ended(self) -> None:
        self._held = b""  # what has no end is no record

    @property
    def pending(self) -> bool:
        return bool(self._held)


class _Conversation(_Cutter, Conversation):
    """The worker\'s half: the app is given each record without its end."""

    @property
    def requests(self) -> deque[bytes]:  # type: ignore[override]
        return self.found


class _Framer(_Cutter, Framer):
    """The front\'s half: whole records, as they came."""

    @property
    def ready(self) -> bool:
        return bool(self.found or self.failure)

    def take(self) -> bytes | None:
        return self.found.popleft() + END if self.found else None


@dataclass
class {cls}(Protocol):
    """Records that end with a NUL."""

    interface: ClassVar[int] = 1
    name: ClassVar[str] = "{name}"
    marks_requests: ClassVar[bool] = True

    limit: Annotated[int, "bytes", Field(ge=1, le=65535, description="of a record; more ends the connection")] = 4096

    def conversation(self, peer: Peer) -> _Conversation:
        return _Conversation(self.limit)

    def framer(self) -> _Framer:
        return _Framer(self.limit)

    def refusal(self, status: int) -> bytes:
        return b""  # it has no words for that
'''
PROTOCOL_TEST = '''"""{cls} finds the same records however the bytes were split."""

import pytest
from poolctl.plugin import Peer
from {module} import {cls}

PEER = Peer("127.0.0.1", "4711", "127.0.0.1", "80")


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_splits_make_no_difference(size: int) -> None:
    data = b"one\\0\\0three\\0rest"
    conversation, framer = {cls}().conversation(PEER), {cls}().framer()
    for start in range(0, len(data), size):
        conversation.receive(data[start : start + size])
        framer.receive(data[start : start + size])
    assert list(conversation.requests) == [b"one", b"", b"three"]
    assert [framer.take() for _ in range(4)] == [b"one\\0", b"\\0", b"three\\0", None]
    assert conversation.pending


def test_a_long_record_is_refused() -> None:
    conversation = {cls}(limit=4).conversation(PEER)
    conversation.receive(b"12345")
    assert conversation.failure == 413
'''
TEMPLATES = {
    "dispatch": (DISPATCH, DISPATCH_TEST),
    "app": (APP, APP_TEST),
    "protocol": (PROTOCOL, PROTOCOL_TEST),
    "ownership": (OWNERSHIP, OWNERSHIP_TEST),
    "pool": (POOL, POOL_TEST),
}
TOPOLOGY = {
    "dispatch": "app: demo\npool: {{kind: process, size: 4}}\ndispatch: {use}\n",
    "app": "app: {{use: {use}}}\n",
    "protocol": "app: {{use: ./my_app.py:MyApp}}\nprotocol: {use}\n",
    "ownership": "app: demo\npool: {{kind: process, size: 4}}\nownership: {{use: {use}, before: shop:warm_up}}\n",
    "pool": "app: demo\npool: {{kind: {use}, size: 4}}\n",
}
PYPROJECT = """[build-system]
requires = ["setuptools>=64"]
build-backend = "setuptools.build_meta"

[project]
name = "poolctl-{name}"
version = "0.1.0"
description = "{name}: a plugin for poolctl"
requires-python = ">=3.11"
dependencies = ["poolctl>={version}"]

[project.optional-dependencies]
test = ["poolctl[testing]>={version}"]

[project.entry-points."poolctl.{kind}"]
{name} = "{module}:{cls}"

[tool.setuptools]
py-modules = ["{module}"]
"""
README = """# poolctl-{name}

A plugin for poolctl, of the axis {kind}. Installed (`pip install .`) topologies name it `{name}`:

```yaml
{topology}```

`pip install -e '.[test]'` and `pytest` run its tests; `poolctl plugin show {name}` lists its options.
"""
