"""The models that asynchronous apps run under, each with one worker, so that a test knows who answers."""

from __future__ import annotations

from typing import Any

PROCESS: dict[str, Any] = {"kind": "process", "size": 1}
THREAD: dict[str, Any] = {"kind": "thread", "size": 1}
OWNING: dict[str, dict[str, Any]] = {
    "reuse-port": {"pool": PROCESS, "ownership": "reuse-port"},
    "accept-front": {"pool": PROCESS, "ownership": "half-sync/half-async"},
    "accept-worker": {"pool": PROCESS, "ownership": {"use": "half-sync/half-async", "accept": "worker"}},
    "accept-threads": {"pool": THREAD, "ownership": "half-sync/half-async"},
    "leader-processes": {"pool": PROCESS, "ownership": "leader/followers"},
    "leader-threads": {"pool": THREAD, "ownership": "leader/followers"},
}
LENDING: dict[str, dict[str, Any]] = {
    "reactive-processes": {"pool": PROCESS, "ownership": "half-sync/half-reactive"},
    "reactive-threads": {"pool": THREAD, "ownership": "half-sync/half-reactive"},
}
MODELS = OWNING | LENDING


def topology(model: str, target: str = "adverse:app", **more: Any) -> dict[str, Any]:
    """One of an ASGI application. ``concurrency``: only where requests are lent."""
    app: dict[str, Any] = {"use": "asgi", "target": target}
    concurrency = more.pop("concurrency", None)
    if concurrency and model in LENDING:
        app["concurrency"] = concurrency
    if "lifespan" in more:
        app["lifespan"] = more.pop("lifespan")
    if more.pop("http2", model in OWNING):
        more["protocol"] = {"use": "http", "http2": True}
    return {"name": "adverse", "app": app, **MODELS[model], **more}
