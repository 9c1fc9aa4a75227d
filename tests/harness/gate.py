"""A gate where requests of the application ``gated`` wait, so that a test counts who has which request at one moment,
and nothing depends on time."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from harness.client import PATIENCE


class Gate:
    """Where requests wait: each is a connection whose first line is the number of its process."""

    def __init__(self) -> None:
        self.door = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.door.settimeout(PATIENCE)
        self.path = f"/{self.door.getsockname()[1]}"

    def arrival(self) -> tuple[int, socket.socket]:
        """The next request that runs: (process, what lets it go when it is closed)."""
        inside, _ = self.door.accept()
        with inside.makefile("rb") as lines:
            return int(lines.readline()), inside

    def nobody(self) -> bool:
        """Whether no further request has begun; that of a loaded machine may be on its way, so only a failure of this
        means something."""
        self.door.settimeout(0.2)
        try:
            self.arrival()
        except TimeoutError:
            return True
        finally:
            self.door.settimeout(PATIENCE)
        return False


@contextmanager
def gate() -> Iterator[Gate]:
    made = Gate()
    with made.door:
        yield made
