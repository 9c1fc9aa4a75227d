"""Control sockets that answer what a test wants. Their servers are called cake, as no real one is."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from poolctl.cli.servers import Located

Make = Callable[..., Located]
STATUS = {"poolctl": 1, "done": True, "exit": 0, "result": {"name": "cake"}}


def line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


class AnsweringServers:
    """Listening control sockets in a folder, with a thread for each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._listeners: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        for listener in self._listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for thread in self._threads:
            thread.join()

    def make(self, name: str, pid: int, where: Path | None = None, silent: bool = False, **replies: bytes) -> Located:
        """A server with a reply to each command; without one it answers `status`. ``silent``: it accepts nobody."""
        path = (where or self.folder) / f"{name}.{pid}.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        self._listeners.append(listener)
        if not silent:
            self._threads.append(threading.Thread(target=_serve, args=(listener, replies)))
            self._threads[-1].start()
        return Located(name, pid, str(path))


def _serve(listener: socket.socket, replies: dict[str, bytes]) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client:
            client.sendall(replies.get(json.loads(client.recv(65536))["do"], line(STATUS)))
