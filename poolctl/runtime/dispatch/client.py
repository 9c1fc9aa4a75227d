"""client: by the client's address, in the kernel."""

from __future__ import annotations

from dataclasses import dataclass

from poolctl.runtime.dispatch import KernelDispatch
from poolctl.runtime.system import bpf


@dataclass
class Client(KernelDispatch):
    """By the client's address, so that all connections of one client reach the same worker.

    IPv4 takes the source address (RFC 791, 3.1), IPv6 the four words of its source address folded into one (RFC 8200,
    3). A multiplication spreads neighbouring addresses over the workers (Knuth, TAOCP 3, 6.4: 2654435769 is 2^32 over
    the golden ratio).
    """

    def program(self, sockets: int) -> list[bpf.Instruction]:
        def source(offset: int) -> bpf.Instruction:
            return (bpf.LOAD_ABSOLUTE, 0, 0, bpf.NETWORK + offset)

        fold: list[bpf.Instruction] = [source(8)]
        for offset in (12, 16, 20):
            fold += [(bpf.TO_X, 0, 0, 0), source(offset), (bpf.EXCLUSIVE_OR_X, 0, 0, 0)]
        fold.append((bpf.JUMP, 0, 0, 1))  # past the load of version 4
        return [
            (bpf.LOAD_BYTE, 0, 0, bpf.NETWORK),
            (bpf.AND, 0, 0, 0xF0),
            (bpf.JUMP_EQUAL, len(fold), 0, 0x40),  # version 4: past the folding of version 6
            *fold,
            source(12),
            (bpf.MULTIPLY, 0, 0, 2654435769),
            (bpf.SHIFT_RIGHT, 0, 0, 16),
            (bpf.MODULO, 0, 0, sockets),
            (bpf.RETURN_A, 0, 0, 0),
        ]
