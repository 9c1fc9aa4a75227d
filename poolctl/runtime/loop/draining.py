"""When a loop that drains stops waiting for its clients, so that it ends before its process is killed."""

from __future__ import annotations

SHARE = 0.8  # of the time to drain, after which what is left is cancelled
REST = 2.0  # seconds that are enough for the end; a long drain need not give it a fifth


def cancels_after(drain: float) -> float:
    """Seconds from the stop to the cancellation of what is left."""
    return max(SHARE * drain, drain - REST)
