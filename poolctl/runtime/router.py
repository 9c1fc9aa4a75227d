"""The router: from a task to an inbox. Affinity names a key, dispatch chooses, and the first choice is remembered.

    task -> affinity.key -> remembered inbox, or dispatch.pick -> inbox.put -> no room: wait here, in order

It belongs to the front and to its thread. What waits here is bounded together with what lies in the inboxes by
``limits.waiting``: the front asks ``crowded`` before it brings another task.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Hashable, Sequence
from typing import Any

from poolctl.runtime.affinity import Affinity
from poolctl.runtime.dispatch import Dispatch
from poolctl.runtime.inbox import Inbox
from poolctl.runtime.task import Peer, Task

# peer, request, connection, item, descriptors, which one to close once it is placed (-1: none)
Parcel = tuple[Peer, bytes, int, Any, tuple[int, ...], int]


class Router:
    """Routes the tasks of one front."""

    def __init__(self, dispatch: Dispatch, affinity: Affinity, inboxes: Sequence[Inbox], limit: int) -> None:
        self._dispatch = dispatch
        self._affinity = affinity
        self._inboxes = inboxes
        self._limit = limit
        self._only = inboxes[0] if dispatch.pull or len(inboxes) == 1 else None
        self._remembers = affinity.remembers
        self._chosen: dict[Hashable, Inbox] = {}
        self.waiting: deque[Parcel] = deque()
        self.capacity = sum(inbox.capacity for inbox in inboxes)

    def crowded(self) -> bool:
        """Whether as many tasks wait for a worker as the topology allows."""
        return len(self.waiting) + sum(inbox.waiting for inbox in self._inboxes) >= self._limit

    @property
    def load(self) -> int:
        """Tasks that were sent and are not done."""
        return sum(inbox.load for inbox in self._inboxes)

    def route(
        self, peer: Peer, data: bytes, connection: int, item: Any, fds: tuple[int, ...] = (), holder: int = -1
    ) -> Inbox | None:
        """Put the item where it belongs, or keep it until there is room; the inbox that had none, or None.

        ``connection`` tells the connections of this front apart. ``holder`` is the one of ``fds`` that was opened only to be sent along: it is closed when the item has left this process.
        """
        full = None
        if not self.waiting:
            full = self._place(peer, data, connection, item, fds)
            if full is None:
                if holder >= 0:
                    os.close(holder)
                return None
        self.waiting.append((peer, data, connection, item, fds, holder))
        return full

    def retry(self) -> Inbox | None:
        """There may be room again; the inbox that has none for the oldest task that still waits, or None."""
        waiting = self.waiting
        while waiting:
            peer, data, connection, item, fds, holder = waiting[0]
            full = self._place(peer, data, connection, item, fds)
            if full is not None:
                return full
            waiting.popleft()
            if holder >= 0:
                os.close(holder)
        return None

    def forget(self, connection: int) -> None:
        """The connection is closed."""
        self._chosen.pop(connection, None)

    def _place(self, peer: Peer, data: bytes, connection: int, item: Any, fds: tuple[int, ...]) -> Inbox | None:
        inbox = self._only or self._choose(Task(peer, data), connection)
        return None if inbox.put(item, fds) else inbox

    def _choose(self, task: Task, connection: int) -> Inbox:
        if not self._remembers:
            return self._pick(task)
        key = self._affinity.key(task, connection)
        inbox = self._chosen.pop(key, None) or self._pick(task)
        self._chosen[key] = inbox  # last in, last to be forgotten
        if len(self._chosen) > self._remembers:
            del self._chosen[next(iter(self._chosen))]
        return inbox

    def _pick(self, task: Task) -> Inbox:
        inbox = self._dispatch.pick(task, self._inboxes)
        # Every inbox is on offer, so there is nothing to wait for: a strategy that abstains gets the first.
        return self._inboxes[0] if inbox is None else inbox
