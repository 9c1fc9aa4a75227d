"""Waiting for room in inboxes that were full."""

from __future__ import annotations

from typing import Any

from poolctl.runtime.loop import Loop, Source
from poolctl.runtime.poller import OUT
from poolctl.runtime.router import Router


class Rooms:
    """The full inboxes of one front; ``wait_for`` takes what the router answers."""

    def __init__(self, loop: Loop, router: Router) -> None:
        self.loop = loop
        self.router = router

    def wait_for(self, full: Any) -> None:
        """``full`` is the inbox that had no room, if any: the router tries again when it has."""
        if full is not None and full.writer.fileno() not in self.loop.handlers:
            self.loop.sources.add(full.writer.fileno())
            self.loop.handle(Room(self, full.writer.fileno()))

    def retry(self) -> None:
        """Something has changed: let what waits try again."""
        if self.router.waiting:
            self.wait_for(self.router.retry())


class Room(Source):
    """One full inbox; writable means that it has room."""

    mask = OUT

    def __init__(self, rooms: Rooms, fd: int) -> None:
        self.rooms = rooms
        self.fd = fd

    def on_event(self, events: int, service: Any) -> None:
        self.rooms.loop.drop(self)
        self.rooms.retry()
