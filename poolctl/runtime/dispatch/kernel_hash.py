"""kernel-hash: the kernel's default for a reuse-port group."""

from __future__ import annotations

from dataclasses import dataclass

from poolctl.runtime.dispatch import KernelDispatch
from poolctl.runtime.system import bpf


@dataclass
class KernelHash(KernelDispatch):
    """By the kernel's hash of both addresses and ports, which spreads connections as if at random."""

    def program(self, sockets: int) -> list[bpf.Instruction]:
        return []
