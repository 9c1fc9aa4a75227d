"""The servers that the fault tests misuse, by name: each way to own sockets, with processes and with threads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from harness.client import Client
from harness.forms import short
from harness.server import Serve, Server


@dataclass(frozen=True)
class Model:
    """One server design. ``lends``: a front holds the connections, so none of them is bound to one worker."""

    kind: str
    ownership: dict[str, Any]
    dispatch: str
    affinity: str = "connection"
    threads: int = 1
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def lends(self) -> bool:
        return self.ownership["use"] == "half-sync/half-reactive"

    @property
    def floats(self) -> bool:
        """Whether any worker may serve the next request of a kept connection."""
        return self.affinity == "request"

    @property
    def processes(self) -> bool:
        return self.kind == "process"

    @property
    def front(self) -> bool:
        """Whether a process of its own is the front."""
        return self.processes and self.ownership["use"].startswith("half-sync")

    def topology(self, size: int = 4, **more: Any) -> dict[str, Any]:
        pool: dict[str, Any] = {"kind": self.kind, "size": size}
        if self.threads > 1:
            pool["threads"] = self.threads
        keys = {"ownership": self.ownership, "dispatch": self.dispatch, "affinity": self.affinity}
        return {"name": "faults", "app": "demo", "pool": pool, **keys, **more}

    def workers(self, server: Server) -> list[int]:
        """The processes that run the app."""
        return server.pids("worker" if self.processes else "threads")


HSHR, HSHA, LF, RP = "half-sync/half-reactive", "half-sync/half-async", "leader/followers", "reuse-port"
SELECTORS = {"POOLCTL_POLLER": "selectors"}

MODELS = {
    "hshr-processes": Model("process", {"use": HSHR}, "shared-queue", "request"),
    "hshr-threads": Model("thread", {"use": HSHR}, "shared-queue", "request"),
    "hsha-front-processes": Model("process", {"use": HSHA, "accept": "front"}, "shared-queue"),
    "hsha-front-threads": Model("thread", {"use": HSHA, "accept": "front"}, "shared-queue"),
    "hsha-worker-processes": Model("process", {"use": HSHA, "accept": "worker"}, "shared-queue"),
    "lf-processes": Model("process", {"use": LF}, "leader"),
    "lf-threads": Model("thread", {"use": LF}, "leader", "request"),
    "reuse-port": Model("process", {"use": RP}, "kernel-hash"),
}
FALLBACK = {
    f"{name}-selectors": Model(m.kind, m.ownership, m.dispatch, m.affinity, m.threads, SELECTORS)
    for name, m in MODELS.items()
    if name in ("hshr-processes", "hsha-front-processes", "hsha-worker-processes", "lf-processes", "lf-threads")
}
HYBRID = {
    "hshr-hybrid": Model("process", {"use": HSHR}, "shared-queue", "request", threads=2),
    "hsha-hybrid": Model("process", {"use": HSHA, "accept": "front"}, "shared-queue", threads=2),
    "lf-hybrid": Model("process", {"use": LF}, "leader", threads=2),
}
ALL = {**MODELS, **HYBRID, **FALLBACK}

# What every run of the tests asks; the others, which are the same code put together otherwise, are for `make faults`.
CORE = (
    "hshr-processes", "hshr-threads", "hsha-front-processes", "hsha-worker-processes-selectors", "lf-processes",
    "lf-threads",
)  # fmt: skip
FEW = ("hshr-processes", "hsha-front-processes", "lf-threads")


def models(names: Iterable[str] = ALL, always: Iterable[str] = CORE) -> pytest.MarkDecorator:
    """Parametrize a test by ``name``; those that are not to be run ``always`` are slow."""
    return pytest.mark.parametrize("name", short(names, set(always)))


def begin(serve: Serve, name: str, size: int = 4, **more: Any) -> tuple[Model, Server]:
    """Start one of the models; ``more`` goes into the topology."""
    model = ALL[name]
    return model, serve(model.topology(size, **more), environment=model.environment)


def busy(port: int, seconds: float) -> Client:
    """A connection on which a worker sleeps for so long."""
    client = Client(port)
    client.ask(f"/sleep?seconds={seconds}")
    return client
