"""Clients that keep coming while something else happens."""

from __future__ import annotations

import threading
from typing import Self

from harness.client import Client
from harness.server import PATIENCE, wait_until


class Hammer:
    """New connections, one after the other, while something is killed: none may be refused, some may be cut."""

    def __init__(self, port: int) -> None:
        self.answered = self.cut = 0
        self.refused: list[str] = []
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                client = Client(self._port)
            except OSError as error:
                self.refused.append(repr(error))
                continue
            with client:
                try:
                    client.get("/", close=True)
                    self.answered += 1
                except (EOFError, ConnectionError):
                    self.cut += 1

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self.answered > 5, "answers before the kill")
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def goes_on(self) -> None:
        """Wait for more answers."""
        before = self.answered
        wait_until(lambda: self.answered > before + 20, "answers after the kill")
