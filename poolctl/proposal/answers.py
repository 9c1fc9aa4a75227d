"""The answers about an app, the proposal made from them, and which questions still matter. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "wsgi",
    "asgi",
    "static",
    "cgi",
    "lines",
    "frames",
    "stream",
    "async-lines",
    "async-frames",
    "async-stream",
    "echo",
    "demo",
]
BLOCKING = ("wsgi", "lines", "frames")  # a call blocks its worker
AWAITED = ("asgi", "async-lines", "async-frames", "async-stream")
HTTP = ("wsgi", "asgi", "static", "cgi", "demo")
BUILT_IN = ("echo", "demo")  # need no name of an app
FOLDERS = ("static", "cgi")  # named by a path, not a module
TARGETED = (*BLOCKING, *AWAITED, "stream")

PORT = 8000


@dataclass(frozen=True)
class Answers:
    """What init knows about an app. The defaults are those of the questions; ``asked`` says which of them matter."""

    kind: Kind
    app: str = ""  # package.module:callable, or the path of a program or folder
    name: str = "app"  # of the server, in process titles and log lines
    where: str = ""  # what was found, as a comment for the file: "a Flask application in shop.py"
    directory: str = ""  # where the app is found, if not in the folder that poolctl is started in
    production: bool = True
    work: Literal["waits", "computes"] = "waits"
    mixed: bool = True  # a few slow requests among many fast ones
    keeps: Literal["nothing", "client", "shared"] = "nothing"  # in the memory of a process, for a later request
    thread_safe: bool = False
    websockets: bool = False
    proxy: Literal["none", "unix", "tcp"] = "none"
    trust: str = "127.0.0.1"  # address or network of a proxy that connects over TCP
    listen: str = ""  # an address; empty: one that suits the other answers
    certificate: str = ""  # PEM file; empty: no TLS
    key: str = ""  # PEM file; empty: in the certificate's file
    preload: bool = False  # the app uses much memory, and can be forked after it was imported
    cores: int = 2  # that the server may use; pools of waiting processes are sized by it

    @property
    def proxied(self) -> bool:
        return self.production and self.kind in HTTP and self.proxy != "none"

    @property
    def encrypted(self) -> bool:
        return self.production and not self.proxied and bool(self.certificate)

    @property
    def address(self) -> str:
        """The address to listen on: as answered, or one that suits the other answers."""
        if self.listen:
            return self.listen
        if self.proxied and self.proxy == "unix":
            return f"unix:///run/{self.name}/{self.name}.sock"
        outside = self.production and (not self.proxied or self.trust not in ("127.0.0.1", "::1"))
        host = "0.0.0.0" if outside else "127.0.0.1"
        return f"tcp://{host}:{8443 if self.encrypted else PORT}"

    @property
    def direct(self) -> bool:
        """Whether clients connect to a port of this server directly, each from its own address."""
        return not self.proxied and self.address.startswith("tcp://")

    @property
    def one_process(self) -> bool:
        """Whether all requests must be served by the same process, because of what it keeps in memory."""
        return self.keeps == "shared" or (self.keeps == "client" and not self.direct)


@dataclass(frozen=True)
class Alternative:
    """Settings to write instead, and when. ``settings``: keys and values, in YAML."""

    when: str
    settings: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class KeyLine:
    """One key of the file with its value in YAML, and why it suits the answers."""

    key: str
    value: str
    why: str
    short: str = ""  # the reason in a few words, for the terminal; empty: there was no choice
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True)
class Proposal:
    """The settings of a topology, in the order of the file."""

    name: str
    settings: tuple[KeyLine, ...]
    alternatives: tuple[Alternative, ...] = ()  # other designs: all axes together
    notes: tuple[str, ...] = ()  # what is needed besides the file

    @property
    def axes(self) -> tuple[KeyLine, ...]:
        return tuple(each for each in self.settings if each.key in AXES)


AXES = ("pool", "ownership", "dispatch", "affinity")


def asked(answers: Answers) -> tuple[str, ...]:
    """Return the fields of Answers that matter, given the other answers, in the order in which to ask for them."""
    matters = {
        "app": answers.kind not in BUILT_IN,
        "production": True,
        "websockets": answers.kind == "asgi",
        "work": _waits_or_computes(answers),
        "mixed": _computes(answers),
        "keeps": answers.kind in (*BLOCKING, *AWAITED, "stream"),
        "proxy": answers.production and answers.kind in HTTP,
        "trust": answers.proxied and not answers.address.startswith("unix://"),
        "certificate": answers.production and not answers.proxied,
        "key": answers.encrypted,
        "listen": True,
        "thread_safe": answers.kind in BLOCKING and (answers.work == "waits" or answers.one_process),
        "preload": _forks(answers),
    }
    return tuple(field for field, matter in matters.items() if matter)


def _waits_or_computes(answers: Answers) -> bool:
    """Whether it matters what the time is spent on: not for a single event loop that serves all requests."""
    awaited = answers.kind == "asgi" and not answers.websockets and not answers.one_process
    return answers.kind in BLOCKING or awaited


def _computes(answers: Answers) -> bool:
    return _waits_or_computes(answers) and answers.work == "computes" and not answers.one_process


def _forks(answers: Answers) -> bool:
    """Whether several processes import the same module."""
    if not answers.production or answers.kind not in TARGETED or answers.one_process:
        return False
    waits_in_threads = answers.kind in BLOCKING and answers.work == "waits" and answers.thread_safe
    return not (waits_in_threads and answers.keeps == "client")
