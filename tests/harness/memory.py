"""How much memory processes have had."""

from __future__ import annotations

import re
from pathlib import Path

from harness.server import Server


def peak(pid: int) -> int:
    """The peak memory of a process in KiB (VmHWM, proc(5))."""
    return _figure(pid, "VmHWM")


def resident(pid: int) -> int:
    """The memory of a process now, in KiB (VmRSS, proc(5))."""
    return _figure(pid, "VmRSS")


def _figure(pid: int, name: str) -> int:
    return int(re.search(rf"{name}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])  # type: ignore[index]


def peaks(server: Server) -> dict[int, int]:
    """The same of each process of a server."""
    return {pid: peak(pid) for pid in server.tree()}
