"""A command of poolctl as it looks in a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
from pathlib import Path

from harness.launcher import launcher
from harness.machine import PATIENCE
from harness.server import ROOT

ROWS = 50


def in_terminal(*words: str, cwd: Path, columns: int = 80, **environment: str) -> tuple[int, str]:
    """The exit code, and all that the terminal was sent, with its colours. It says how wide it is by itself, as
    terminals do: COLUMNS is not set."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    kept |= {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    process = launcher().show([*words], kept | environment, cwd, theirs)
    os.close(theirs)
    sent = b""
    while True:
        try:
            more = os.read(ours, 65536)
        except OSError:  # EIO: the other end has closed
            break
        if not more:
            break
        sent += more
    os.close(ours)
    return process.wait(PATIENCE), sent.decode().replace("\r\n", "\n")


def without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
