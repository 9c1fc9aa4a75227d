"""A description of the assembled server in two lines."""

from __future__ import annotations

from poolctl.assembly.fitting.combination import ASYNC, LEADER, Combination
from poolctl.config.model import Topology


def describe(topology: Topology, chosen: Combination, workers: int) -> list[str]:
    """Return two lines: the pool with its axes, and the app with its addresses."""
    *axes, app = assembled(chosen, workers)
    addresses = ", ".join(map(str, topology.listen))
    return [", ".join(axes), f"{app}, on {addresses}"]


def assembled(chosen: Combination, workers: int) -> list[str]:
    """Return a text for each axis, the app last."""
    service = chosen.service
    return [*_axes(chosen, workers), f"app {service.app}, protocol {service.protocol}"]


def _axes(chosen: Combination, workers: int) -> list[str]:
    if chosen.baseline:
        return [chosen.pool]
    ownership = chosen.shown("ownership")
    if chosen.ownership == ASYNC:
        ownership += f" (accept: {chosen.accept})"
    if chosen.ownership == LEADER:
        ownership += f" (lock: {chosen.lock})"
    return [_pool(chosen, workers), ownership, f"dispatch {chosen.shown('dispatch')}", f"affinity {chosen.affinity}"]


def _pool(chosen: Combination, workers: int) -> str:
    plural = {"process": "processes", "thread": "threads"}[chosen.pool]
    noun = chosen.pool if workers == 1 else plural
    several = f" of {chosen.threads} threads" if (chosen.threads or 1) > 1 else ""
    called = f" (pool {chosen.shown('pool')})" if chosen.shown("pool") != chosen.pool else ""
    return f"{workers} {noun}{several}{called}"
