"""What the front of a running server tells about its queue, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

REASONS = {
    "late": "had waited for too long",
    "crowded": "came while too many waited",
    "by_strategy": "were turned away by the strategy",
    "abandoned": "had lost their clients",
}
ROUTES = 10  # that are listed; poolctl status --format json has more


def refused(counts: dict[str, int]) -> Iterator[str]:
    """Yield what the front has refused or dropped. ``counts``: by the reason."""
    from poolctl.config.diagnostic import number_of

    found = [f"{counts[reason]} {text}" for reason, text in REASONS.items() if counts[reason]]
    if found:
        yield f"  {number_of(sum(counts.values()), 'request')} did not get to a worker: {', '.join(found)}"


def queue_lines(classes: list[dict[str, Any]], routes: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a table of the classes of requests, and one of the routes that the strategy has learned."""
    if classes:
        yield "  busy waiting   oldest   served  refused     takes  kept  most  class"
    for each in classes:
        most = "-" if each["most"] is None else each["most"]
        yield (
            f"  {each['busy']:>4} {each['waiting']:>7} {_seconds(each['oldest']):>8} {each['served']:>8}"
            f" {each['refused']:>8} {_seconds(each['seconds']):>9} {each['reserve']:>5} {most:>5}"
            f"  {each['class'] or '(all others)'}"
        )
    if routes:
        yield "      takes  per second  class  route"
    for each in routes[:ROUTES]:
        yield f"  {_seconds(each['seconds']):>9} {each['rate']:>11.1f}  {each['class'] or '-':5}  {each['route']}"


def _seconds(seconds: float) -> str:
    if not seconds:
        return "-"
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
