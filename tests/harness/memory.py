"""How much memory processes have had."""

from __future__ import annotations

import re
from pathlib import Path

from harness.server import Server


def peak(pid: int) -> int:
    """The peak memory of a process in KiB (VmHWM, proc(5))."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])  # type: ignore[index]


def peaks(server: Server) -> dict[int, int]:
    """The same of each process of a server."""
    return {pid: peak(pid) for pid in server.tree()}
