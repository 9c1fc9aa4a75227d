"""Waits for room in full inboxes.

router -- full inboxes --> Rooms.wait_for --> Room, in the front's loop -- writable --> router.room(index)
"""

from __future__ import annotations

from collections.abc import Sequence

from poolctl.runtime.channels.inbox import Inbox
from poolctl.runtime.loop.loop import Loop
from poolctl.runtime.loop.source import Source
from poolctl.runtime.routing.router import Router
from poolctl.runtime.system.poller import OUT


class Rooms:
    """The full inboxes of one front. ``wait_for`` is called with the lists that the router returns."""

    def __init__(self, loop: Loop[None], router: Router) -> None:
        self.loop = loop
        self.router = router
        self._tasks = router.queue

    def wait_for(self, full: Sequence[Inbox]) -> None:
        """Call the router when one of these inboxes has room again."""
        for inbox in full:
            self.loop.add_source(Room(self, inbox))

    def retry(self) -> None:
        """Try to place the waiting tasks, after a change that may have made room."""
        if self._tasks.count:
            self.wait_for(self.router.retry())


class Room(Source[None]):
    """A full inbox; it becomes writable when it has room."""

    mask = OUT

    def __init__(self, rooms: Rooms, inbox: Inbox) -> None:
        self.rooms = rooms
        self.inbox = inbox
        self.fd = inbox.writer.fileno()

    def on_event(self, events: int, service: None) -> None:
        self.rooms.loop.remove(self)
        self.rooms.wait_for(self.rooms.router.room(self.inbox.index))
