"""What `poolctl init` asks about an app, and what it makes of the answers. Pure."""

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
BLOCKING = ("wsgi", "lines", "frames")  # called, and its worker has to wait
AWAITED = ("asgi", "async-lines", "async-frames", "async-stream")
HTTP = ("wsgi", "asgi", "static", "cgi", "demo")
BUILT_IN = ("echo", "demo")  # nothing to name
FOLDERS = ("static", "cgi")  # a path, not a module
TARGETED = (*BLOCKING, *AWAITED, "stream")

PORT = 8000


@dataclass(frozen=True)
class Answers:
    """What init knows of an app. The defaults are those of the questions; ``asked`` says which of them count."""

    kind: Kind
    app: str = ""  # package.module:callable, or the path of a program or folder
    name: str = "app"  # of the server, in titles of processes and log lines
    where: str = ""  # what was found, to be said in the file: "a Flask application in shop.py"
    directory: str = ""  # where the app is looked for, if not where poolctl is started
    production: bool = True
    work: Literal["waits", "computes"] = "waits"
    mixed: bool = True  # a few slow requests between many quick ones
    keeps: Literal["nothing", "client", "shared"] = "nothing"  # in the memory of a process, for a later request
    thread_safe: bool = False
    websockets: bool = False
    proxy: Literal["none", "unix", "tcp"] = "none"
    trust: str = "127.0.0.1"  # address or network of a proxy that comes over TCP
    listen: str = ""  # an address; empty: the one that suits the others
    certificate: str = ""  # PEM file; empty: no TLS
    key: str = ""  # PEM file; empty: in the same file
    preload: bool = False  # a process of the app takes much memory, and may be forked once it is imported
    cores: int = 2  # that a server may use; how many processes wait at a time is written as a number

    @property
    def proxied(self) -> bool:
        return self.production and self.kind in HTTP and self.proxy != "none"

    @property
    def encrypted(self) -> bool:
        return self.production and not self.proxied and bool(self.certificate)

    @property
    def address(self) -> str:
        """Where it listens: what was said, or what suits the other answers."""
        if self.listen:
            return self.listen
        if self.proxied and self.proxy == "unix":
            return f"unix:///run/{self.name}/{self.name}.sock"
        outside = self.production and (not self.proxied or self.trust not in ("127.0.0.1", "::1"))
        host = "0.0.0.0" if outside else "127.0.0.1"
        return f"tcp://{host}:{8443 if self.encrypted else PORT}"

    @property
    def direct(self) -> bool:
        """Whether clients come to a port of this server themselves, each from an address of its own."""
        return not self.proxied and self.address.startswith("tcp://")

    @property
    def one_process(self) -> bool:
        """Whether one memory has to be met by all requests."""
        return self.keeps == "shared" or (self.keeps == "client" and not self.direct)


@dataclass(frozen=True)
class Otherwise:
    """What to write instead of settings, and when: key and value, in YAML."""

    when: str
    settings: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Setting:
    """One key of the file with its value in YAML, and the reason for these answers."""

    key: str
    value: str
    why: str
    short: str = ""  # the reason in a few words, for the terminal; empty: nothing was chosen
    otherwise: tuple[Otherwise, ...] = ()


@dataclass(frozen=True)
class Proposal:
    """The settings of a topology in the order of the file, and what stands below the axes."""

    name: str
    settings: tuple[Setting, ...]
    otherwise: tuple[Otherwise, ...] = ()  # other designs: all axes at once
    notes: tuple[str, ...] = ()  # what is needed besides the file

    @property
    def axes(self) -> tuple[Setting, ...]:
        return tuple(each for each in self.settings if each.key in AXES)


AXES = ("pool", "ownership", "dispatch", "affinity")


def asked(answers: Answers) -> tuple[str, ...]:
    """The fields of Answers that decide something, given the others, in the order in which to ask for them."""
    decisive = {
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
    return tuple(field for field, decides in decisive.items() if decides)


def _waits_or_computes(answers: Answers) -> bool:
    """Whether where the time goes decides something: not for the one event loop that has all requests."""
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
