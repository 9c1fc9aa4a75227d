"""cpu: by the core that handled the packet."""

from __future__ import annotations

from dataclasses import dataclass

from poolctl.runtime.dispatch import KernelDispatch
from poolctl.runtime.system import bpf


@dataclass
class Cpu(KernelDispatch):
    """By the core on which the connection arrived; useful when the workers are pinned to cores as well."""

    def program(self, sockets: int) -> list[bpf.Instruction]:
        return [(bpf.LOAD_ABSOLUTE, 0, 0, bpf.CPU), (bpf.MODULO, 0, 0, sockets), (bpf.RETURN_A, 0, 0, 0)]
