"""One topology of each ownership, with processes and with threads, for tests that share one server each."""

from __future__ import annotations

from typing import Any

MODELS: dict[str, dict[str, Any]] = {
    "half-sync/half-reactive": {"pool": {"kind": "process", "size": 2}, "ownership": "half-sync/half-reactive"},
    "half-sync/half-reactive threads": {"pool": {"kind": "thread", "size": 2}, "ownership": "half-sync/half-reactive"},
    "half-sync/half-async": {"pool": {"kind": "process", "size": 2}, "ownership": "half-sync/half-async"},
    "leader/followers": {"pool": {"kind": "process", "size": 2}, "ownership": "leader/followers"},
    "leader/followers threads": {"pool": {"kind": "thread", "size": 2}, "ownership": "leader/followers"},
    "reuse-port": {"pool": {"kind": "process", "size": 2}, "ownership": "reuse-port"},
}
