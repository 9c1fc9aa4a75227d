"""thread-per-connection: a new thread for every client (UNP ch. 30, design 6)."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from os import close
from typing import ClassVar

from poolctl.runtime.lifeline import Life
from poolctl.runtime.listen.door import Door
from poolctl.runtime.loop.loop import Loop
from poolctl.runtime.pool.baseline import PerConnection, Served
from poolctl.runtime.pool.single_loop import passing_service, serve_only
from poolctl.runtime.serving.service import Service
from poolctl.runtime.site import Site
from poolctl.runtime.system import threads
from poolctl.runtime.task import Peer

log = logging.getLogger("poolctl")


@dataclass
class ThreadPerConnection(PerConnection):
    """Simple, and good for few clients: each costs the start and the end of a thread."""

    like: ClassVar[str] = "thread-per-connection"
    role: ClassVar[str] = "threads"

    @property
    def multithread(self) -> bool:
        return True

    def begin(self, loop: Loop[Service], site: Site, life: Life, fd: int, peer: Peer, door: Door) -> Served:
        service = passing_service(site)
        reader, writer = os.pipe()

        def serve() -> None:
            try:
                serve_only(site, life, fd, peer, service, door)
            finally:
                close(writer)

        try:
            thread = threads.start(serve, f"client {peer.client_port}", daemon=False)
        except RuntimeError:
            close(reader)
            close(writer)
            raise
        return Companion(loop, reader, writer, thread)


class Companion(Served):
    """The thread of one client; it closes its end of the pipe when it ends."""

    def __init__(self, loop: Loop[Service], fd: int, writer: int, thread: threads.Started) -> None:
        super().__init__(loop, fd)
        self._writer = writer
        self._thread = thread

    def descriptors(self) -> set[int]:
        """Return both ends of the pipe."""
        return {self.fd, self._writer}

    def end(self) -> None:
        close(self.fd)
        self._thread.join()
