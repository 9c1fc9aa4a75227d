"""A server whose topology and code a test changes while it runs."""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path

import yaml

from harness.client import get
from harness.commands import poolctl
from harness.ports import quiet_port
from harness.server import Serve, Server, wait_until

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "3")])
    return [b"one"]
"""
# of another length: Python takes a file of the same second and length for unchanged
OTHER = APP.replace("one", "other").replace("3", "5")


class Shop:
    """A server with its topology and app in a folder, which a test changes."""

    def __init__(self, serve: Serve, folder: Path, **keys: object) -> None:
        self.folder = folder
        self.name = f"r{uuid.uuid4().hex[:8]}"  # commands find the servers of other tests too
        self.keys: dict[str, object] = {
            "name": self.name,
            "app": {"wsgi": "shop:app"},
            "listen": f"tcp://127.0.0.1:{quiet_port()}",
            "pool": {"kind": "process", "size": 2},
            **keys,
        }
        (folder / "shop.py").write_text(APP)
        self.server: Server = serve(self.keys, tracebacks=True)  # those of the app
        (self.file,) = folder.glob("*.yaml")

    def write(self, **keys: object) -> None:
        self.keys.update(keys)
        self.file.write_text(yaml.safe_dump(self.keys))

    def code(self, text: str) -> None:
        (self.folder / "shop.py").write_text(text)

    def reload(self, *options: str) -> subprocess.CompletedProcess[str]:
        return poolctl("reload", self.name, *options, cwd=self.folder)

    def upgrade(self, *options: str) -> subprocess.CompletedProcess[str]:
        return poolctl("upgrade", self.name, *options, cwd=self.folder)

    @property
    def supervisor(self) -> int:
        """The pid of the supervisor, which an upgrade changes, once the one before has ended."""
        wait_until(lambda: len(self.server.pids("supervisor")) == 1, "one supervisor")
        return self.server.pids("supervisor")[0]

    @property
    def body(self) -> bytes:
        return get(self.server.port).body
