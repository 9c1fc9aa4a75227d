"""From words to classes: one table for each axis. A class is imported only when a topology chooses it."""

from __future__ import annotations

import importlib
from typing import Any

REGISTRY: dict[str, dict[str, str]] = {
    "pool": {
        "process": "poolctl.runtime.pool.process:Process",
        "thread": "poolctl.runtime.pool.thread:Thread",
        "process-per-connection": "poolctl.runtime.pool.process_per_connection:ProcessPerConnection",
        "thread-per-connection": "poolctl.runtime.pool.thread_per_connection:ThreadPerConnection",
        "iterative": "poolctl.runtime.pool.iterative:Iterative",
    },
    "ownership": {
        "half-sync/half-reactive": "poolctl.runtime.ownership.half_sync_half_reactive.ownership:HalfSyncHalfReactive",
        "half-sync/half-async": "poolctl.runtime.ownership.half_sync_half_async.ownership:HalfSyncHalfAsync",
        "leader/followers": "poolctl.runtime.ownership.leader_followers:LeaderFollowers",
        "reuse-port": "poolctl.runtime.ownership.reuse_port:ReusePort",
    },
    "dispatch": {
        "shared-queue": "poolctl.runtime.dispatch.shared_queue:SharedQueue",
        "size-aware": "poolctl.runtime.dispatch.size_aware:SizeAware",
        "least-loaded": "poolctl.runtime.dispatch.least_loaded:LeastLoaded",
        "round-robin": "poolctl.runtime.dispatch.round_robin:RoundRobin",
        "random": "poolctl.runtime.dispatch.random:Random",
        "power-of-choices": "poolctl.runtime.dispatch.power_of_choices:PowerOfChoices",
        "leader": "poolctl.runtime.dispatch.leader:Leader",
        "kernel-hash": "poolctl.runtime.dispatch.kernel_hash:KernelHash",
        "client": "poolctl.runtime.dispatch.client:Client",
        "cpu": "poolctl.runtime.dispatch.cpu:Cpu",
    },
    "affinity": {
        "connection": "poolctl.runtime.affinity.connection:Connection",
        "request": "poolctl.runtime.affinity.request:Request",
        "client": "poolctl.runtime.affinity.client:Client",
        "header": "poolctl.runtime.affinity.header:Header",
        "cookie": "poolctl.runtime.affinity.cookie:Cookie",
        "path": "poolctl.runtime.affinity.path:Path",
    },
    "protocol": {
        "http": "poolctl.runtime.protocol.http.protocol:Http",
        "lines": "poolctl.runtime.protocol.lines:Lines",
        "frames": "poolctl.runtime.protocol.frames:Frames",
        "raw": "poolctl.runtime.protocol.raw:Raw",
    },
    "app": {
        "wsgi": "poolctl.runtime.app.wsgi.app:Wsgi",
        "asgi": "poolctl.runtime.app.asgi.app:Asgi",
        "echo": "poolctl.runtime.app.echo:Echo",
        "lines": "poolctl.runtime.app.functions.lines:LinesApp",
        "frames": "poolctl.runtime.app.functions.frames:FramesApp",
        "stream": "poolctl.runtime.app.functions.stream:StreamApp",
        "async-lines": "poolctl.runtime.app.functions.async_lines:AsyncLines",
        "async-frames": "poolctl.runtime.app.functions.async_frames:AsyncFrames",
        "async-stream": "poolctl.runtime.app.functions.async_stream:AsyncStreamApp",
        "demo": "poolctl.runtime.app.demo:Demo",
        "cgi": "poolctl.runtime.app.cgi.app:Cgi",
        "static": "poolctl.runtime.app.static.app:Static",
    },
}


def words(axis: str) -> list[str]:
    """The words of an axis, in the order of the documentation."""
    return list(REGISTRY[axis])


def part_class(axis: str, word: str) -> type[Any]:
    """The class of a word. Raises KeyError when the axis has no such word."""
    module, _, name = REGISTRY[axis][word].partition(":")
    found: type[Any] = getattr(importlib.import_module(module), name)
    return found
