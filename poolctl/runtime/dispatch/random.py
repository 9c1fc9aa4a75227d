"""random: any inbox, in Python under a front and as a BPF program under reuse-port."""

from __future__ import annotations

import random
from dataclasses import dataclass

from poolctl.runtime.dispatch import KernelDispatch
from poolctl.runtime.inbox_view import InboxView
from poolctl.runtime.system import bpf
from poolctl.runtime.task import Task


@dataclass
class Random(KernelDispatch):
    """Any inbox, each with the same probability."""

    def pick(self, task: Task, inboxes: tuple[InboxView, ...]) -> InboxView | None:
        return random.choice(inboxes)

    def program(self, sockets: int) -> list[bpf.Instruction]:
        return bpf.random_of(sockets)
