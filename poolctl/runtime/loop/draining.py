"""When a draining loop stops waiting for its clients, so that it ends before its process is killed."""

from __future__ import annotations

NEWCOMER_SECONDS = 1.0  # that a drain waits for the first bytes of a client that has just connected
DRAIN_SHARE = 0.8  # of timeouts.drain; the rest is cancelled then
REST_SECONDS = 2.0  # seconds that are enough for the end, so that a long drain need not reserve a fifth for it


def cancels_after(drain: float) -> float:
    """Return the seconds from the begin of a drain to the cancellation of everything still in flight. ``drain``:
    timeouts.drain, in seconds."""
    return max(DRAIN_SHARE * drain, drain - REST_SECONDS)
