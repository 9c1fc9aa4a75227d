"""What was assembled, in two lines."""

from __future__ import annotations

from poolctl.assembly.combination import ASYNC, LEADER, Combination
from poolctl.assembly.resolve import Parts


def describe(parts: Parts) -> list[str]:
    """The pool with its axes, and the app with its addresses."""
    *axes, app = assembled(parts)
    addresses = ", ".join(map(str, parts.topology.listen))
    return [", ".join(axes), f"{app}, on {addresses}"]


def assembled(parts: Parts) -> list[str]:
    """One text for each axis, the app last."""
    service = parts.combination.service
    return [*_axes(parts.combination, parts.workers), f"app {service.app}, protocol {service.protocol}"]


def _axes(chosen: Combination, workers: int) -> list[str]:
    if chosen.baseline:
        return [chosen.pool]
    ownership = str(chosen.ownership)
    if chosen.ownership == ASYNC:
        ownership += f" (accept: {chosen.accept})"
    if chosen.ownership == LEADER:
        ownership += f" (lock: {chosen.lock})"
    return [_pool(chosen, workers), ownership, f"dispatch {chosen.dispatch}", f"affinity {chosen.affinity}"]


def _pool(chosen: Combination, workers: int) -> str:
    plural = {"process": "processes", "thread": "threads"}[chosen.pool]
    noun = chosen.pool if workers == 1 else plural
    several = f" of {chosen.threads} threads" if (chosen.threads or 1) > 1 else ""
    return f"{workers} {noun}{several}"
