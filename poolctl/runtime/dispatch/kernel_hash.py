"""kernel-hash: what the kernel does with a reuse-port group when nobody tells it otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from poolctl.runtime.dispatch import KernelDispatch
from poolctl.runtime.system import bpf


@dataclass
class KernelHash(KernelDispatch):
    """By the kernel's hash of both addresses and ports: a connection is spread like a random draw."""

    def program(self, sockets: int) -> list[bpf.Instruction]:
        return []
