"""Processes that the system denies something: further processes (RLIMIT_NPROC), or further memory (RLIMIT_AS)."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

from harness.server import alive

MANY = 1000  # processes
USER = 61_407  # no processes but those of such tests belong to it
# The kernel denies root nothing of this. The interpreter may be in a folder that only root may enter.
AS_USER = (
    "setpriv",
    f"--reuid={USER}",
    f"--regid={USER}",
    "--clear-groups",
    "--inh-caps=-all,+dac_override",
    "--ambient-caps=+dac_override",
)


def as_user(folder: Path) -> dict[str, object]:
    """How to start a server, whose control socket is in this folder, as a user whom the kernel denies processes."""
    folder.mkdir(mode=0o700)
    if os.getuid() == 0:
        os.chown(folder, USER, USER)
    return {"prefix": AS_USER if os.getuid() == 0 else ("env",), "environment": {"RUNTIME_DIRECTORY": str(folder)}}


@contextlib.contextmanager
def no_processes(*pids: int) -> Iterator[None]:
    """fork(2) fails in these processes of a server that was started ``as_user``, and in those that they have forked
    meanwhile."""
    for pid in pids:
        allow_processes(pid, 1)
    try:
        yield
    finally:
        for pid in pids:
            allow_processes(pid, MANY)


def allow_processes(pid: int, most: int) -> None:
    """Let a process fork as long as its user has fewer processes than this. A soft limit is changed by its own user."""
    words = ["prlimit", f"--pid={pid}", f"--nproc={most}:"]
    words = [*AS_USER, *words] if os.getuid() == 0 else words
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not alive(pid), done.stderr


@contextlib.contextmanager
def no_memory(*pids: int, beyond: int = 0) -> Iterator[None]:
    """These processes get no further memory, or only so many bytes, and so do those that they fork meanwhile."""
    page, unlimited = resource.getpagesize(), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    for pid in pids:
        size = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * page
        resource.prlimit(pid, resource.RLIMIT_AS, (size + beyond, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                resource.prlimit(pid, resource.RLIMIT_AS, unlimited)
