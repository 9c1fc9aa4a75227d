"""What docs/operations.md says of terminals: which servers end with theirs, and how Ctrl-C ends them."""

from __future__ import annotations

import os
import pty
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pages
import pytest
from harness.server import alive, wait_until

ROOT = Path(__file__).parents[2]
PLAIN = "poolctl run shop.yaml"
(WRAPPED,) = (
    block.text.strip() for block in pages.BLOCKS if block.language == "sh" and block.text.startswith("sh -c 'trap")
)
READY = re.compile(r"\[(\d+)\] info  generation 1 of shop is ready")


@contextmanager
def terminal(command: str, folder: Path) -> Iterator[tuple[int, int]]:
    """A command in a terminal of its own, its messages in the file log: the terminal and the supervisor's PID."""
    (folder / "shop.yaml").write_text("app: demo\nlisten: tcp://127.0.0.1:0\npool: {size: 2}\n")
    log = folder / "log"
    log.touch()
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        os.environ["PYTHONPATH"] = str(ROOT)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever started the tests may ignore it
        os.execvp("sh", ["sh", "-c", f"({command}) 2>log"])
    server = int(wait_until(lambda: READY.search(log.read_text()), "the start")[1])
    try:
        yield fd, server
    finally:
        if alive(server):
            os.kill(server, signal.SIGTERM)
        wait_until(lambda: not alive(server), "the end of the server")
        wait_until(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid, "the end of the shell")


def test_a_server_outlives_its_terminal(tmp_path: Path) -> None:
    with terminal(PLAIN, tmp_path) as (fd, server):
        os.close(fd)
        wait_until(lambda: "exit code 0: generation 2 serves (" in (tmp_path / "log").read_text(), "the reload")
        assert alive(server)
        os.kill(server, signal.SIGTERM)
        wait_until(lambda: "stopped" in (tmp_path / "log").read_text(), "its last line")


def test_a_shell_can_end_it_with_its_terminal(tmp_path: Path) -> None:
    with terminal(WRAPPED, tmp_path) as (fd, server):
        os.close(fd)
        wait_until(lambda: not alive(server), "the end of the server")
        assert "stopped" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("command", [PLAIN, WRAPPED], ids=["plain", "wrapped"])
def test_control_c_ends_it(tmp_path: Path, command: str) -> None:
    with terminal(command, tmp_path) as (fd, server):
        os.write(fd, b"\x03")
        wait_until(lambda: not alive(server), "the end of the server")
        os.close(fd)
        assert "stopped" in (tmp_path / "log").read_text()
