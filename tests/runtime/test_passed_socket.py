"""A listening socket that whoever starts poolctl has opened."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from pathlib import Path

from poolctl.config.address import Address
from poolctl.runtime.listener import open_listener


def test_it_gets_the_backlog_of_the_topology(tmp_path: Path) -> None:
    """Its opener holds it over many runs, and the stop of the last one has set its queue to 0."""
    path = str(tmp_path / "shop.sock")
    with ExitStack() as stack:
        opened = stack.enter_context(socket.socket(socket.AF_UNIX))
        opened.bind(path)
        opened.listen(0)
        passed = stack.enter_context(open_listener(Address("fd", fd=os.dup(opened.fileno())), backlog=8))
        clients = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(5)]
        for client in clients:
            client.setblocking(False)
            client.connect(path)  # BlockingIOError when the queue has no room
        assert passed.getsockname() == path
