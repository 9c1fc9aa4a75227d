"""A listening socket that whoever starts poolctl has opened."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from harness.client import Client
from harness.server import ROOT

from poolctl.config.address import Address
from poolctl.runtime.listen.listener import open_listener


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


def test_clients_that_wait_at_a_stop_are_served_by_the_next_server(tmp_path: Path) -> None:
    """As under socket activation: the service manager holds the socket, and starts the server again."""
    file = tmp_path / "shop.yaml"
    with socket.create_server(("127.0.0.1", 0), backlog=16) as held:
        port = held.getsockname()[1]
        file.write_text(f"app: demo\npool: {{kind: process, size: 1}}\nlisten: fd://{held.fileno()}\n")
        run_once(file, held.fileno(), lambda: assert_served(Client(port)))
        waiting = Client(port)
        waiting.ask("/")
        run_once(file, held.fileno(), lambda: assert_served(waiting, asked=True))


def assert_served(client: Client, *, asked: bool = False) -> None:
    with client:
        assert (client.answer() if asked else client.get()).status == 200


def run_once(file: Path, fd: int, act: Callable[[], None]) -> None:
    command = [sys.executable, "-m", "poolctl", "run", str(file)]
    with subprocess.Popen(command, pass_fds=[fd], stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if b"serves on" in line:
                    break
            act()
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait() == 0
