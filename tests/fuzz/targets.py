"""What is fuzzed: each app in every pool under every ownership, with one address for every kind of door."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import trustme

from fuzz import proxy
from fuzz.driver import Door
from poolctl.assembly.fitting.combination import AFFINITIES, ASYNC, DISPATCHES, SERVICES, Combination, complete
from poolctl.assembly.fitting.rules import combinations, fits

APPS: dict[str, Any] = {
    "wsgi": {"wsgi": "fuzzed:wsgi"},
    "asgi": {"use": "asgi", "target": "fuzzed:asgi", "lifespan": "off"},
    "lines": {"lines": "fuzzed:line"},
    "async-lines": {"async-lines": "fuzzed:async_line"},
    "frames": {"frames": "fuzzed:line"},
    "async-frames": {"async-frames": "fuzzed:async_line"},
    "stream": {"stream": "fuzzed:stream"},
    "async-stream": {"async-stream": "fuzzed:async_stream"},
    "demo": "demo",
    "echo": "echo",
}
SIZE = 2
REACTIVE = "half-sync/half-reactive"


@dataclass(frozen=True)
class Target:
    """One server. ``protocols``: what it speaks behind its doors, the first of which every correct client can speak."""

    combination: Combination

    @property
    def app(self) -> str:
        return self.combination.service.app

    @property
    def protocols(self) -> tuple[str, ...]:
        """The generators whose sequences mean something to the app."""
        if self.combination.service.speaks != "http":
            speaks = self.combination.service.speaks
            return (speaks if speaks != "raw" else "stream",)
        found = ["http1"]
        if self.speaks_http2:
            found.append("http2")
        if self.app == "asgi" and self.combination.ownership != REACTIVE:
            found.append("websocket")
        return tuple(found)

    @property
    def speaks_http2(self) -> bool:
        return self.combination.service.speaks == "http" and self.combination.ownership != REACTIVE

    @property
    def at_once(self) -> int:
        """Connections at once: more would wait in vain where one is served after the other."""
        return 1 if self.combination.pool == "iterative" else 16

    def __str__(self) -> str:
        given = self.combination
        pool = f"{given.pool}*{given.threads}" if (given.threads or 1) > 1 else given.pool
        return "-".join(
            word.replace("/", "+")
            for word in (given.service.app, pool, given.ownership, given.accept or given.lock)
            if word
        )

    def topology(self, folder: Path) -> dict[str, Any]:
        """Its file. ``folder``: of what a static server serves, and of programs."""
        given, papers = self.combination, certificate()
        tls = {"certificate": papers.certificate, "key": papers.key}
        proxies = {"proxy_protocol": "127.0.0.0/8"}
        at = "tcp://127.0.0.1:0"
        found: dict[str, Any] = {
            "name": "fuzzed",
            "app": APPS.get(self.app) or {self.app: str(folder / self.app)},
            "listen": [at, {"at": at, "tls": tls}, {"at": at, **proxies}, {"at": at, **proxies, "tls": tls}],
            "timeouts": {"drain": "20s"},
        }
        if self.speaks_http2:
            found["protocol"] = {"use": "http", "http2": True}
        if given.service.speaks in ("lines", "frames"):
            found["protocol"] = {"use": given.service.speaks, "limit": 4096}
        if given.baseline:
            return found | {"pool": given.pool}
        pool = {"kind": given.pool, "size": SIZE, "threads": given.threads}
        ownership = {"use": given.ownership, "accept": given.accept, "lock": given.lock}
        return found | {"pool": _given(pool), "ownership": _given(ownership)}

    def doors(self, ports: list[int]) -> list[Door]:
        """In the order of ``listen``."""
        header = proxy.HEADER
        return [
            Door(ports[0]),
            Door(ports[1], tls=True),
            Door(ports[2], proxy=header),
            Door(ports[3], tls=True, proxy=header),
        ]


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


# The first affinity and dispatch of each shape stand for all of them.
SHAPES = {
    complete(replace(each, dispatch=None, affinity=None))
    for each in combinations(SERVICES.values(), affinities=AFFINITIES[:1])
    if each.dispatch in (None, DISPATCHES[0])
}
TARGETS = {str(target): target for each in sorted(SHAPES, key=repr) if not fits(each) for target in [Target(each)]}


@dataclass(frozen=True)
class Papers:
    """A certificate, its key, and a client's context that trusts it."""

    certificate: str
    key: str
    trusted: ssl.SSLContext


@cache
def certificate() -> Papers:
    """One for the whole run."""
    folder = Path(tempfile.mkdtemp(prefix="poolctl-fuzz-"))
    authority = trustme.CA()
    made = authority.issue_cert("localhost")
    made.private_key_pem.write_to_path(str(folder / "key.pem"))
    (folder / "cert.pem").write_bytes(b"".join(each.bytes() for each in made.cert_chain_pems))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return Papers(str(folder / "cert.pem"), str(folder / "key.pem"), context)


def prepare(folder: Path) -> None:
    """What static and cgi serve."""
    (folder / "static" / "sub").mkdir(parents=True)
    (folder / "static" / "index.html").write_text("hello\n")
    (folder / "static" / "sub" / "index.html").write_text("below\n")
    (folder / "static" / "big.bin").write_bytes(bytes(300_000))
    (folder / "static" / "link").symlink_to("index.html")
    (folder / "cgi").mkdir()
    program = folder / "cgi" / "t"
    program.write_text(
        "#!/bin/sh\ncat >/dev/null\nprintf 'Content-Type: text/plain\\r\\nContent-Length: 2\\r\\n\\r\\nok'\n"
    )
    program.chmod(0o755)


__all__ = ["ASYNC", "TARGETS", "Target", "certificate", "prepare"]
