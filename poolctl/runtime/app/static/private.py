"""Recognizing a server's own files in a served folder: topologies, keys, PID files and access logs."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Sequence

log = logging.getLogger("poolctl")
EXAMINED_BYTES = 64 << 10  # bytes of the largest file that is examined; no server accepts a larger topology
REMEMBERED = 1024  # examined files, names and reported files to remember, each
LIKE_ONE = (b".json", b".JSON")  # and .yaml, .yml anywhere in a name: editors append to it (.yaml~, .yaml.bak)


class Private:
    """Recognizes the server's own files by device and inode, so that links to them are found too. The names and inodes
    known at the start only select the files to check: while the server runs, a file may be replaced and its old inode
    number reused. Topologies that appear later, or lie in subfolders, are recognized by their text."""

    def __init__(self, paths: Sequence[str], is_topology: Callable[[bytes], bool] | None = None) -> None:
        self._paths = paths
        self._names = {os.fsencode(os.path.basename(path)) for path in paths}
        self._identities = {_identity(path) for path in paths}
        self._is_topology = is_topology
        self._suspects: dict[bytes, bool] = {}
        self._said: set[tuple[int, int]] = set()
        self._seen: dict[tuple[int, int, int, int], bool] = {}

    def has(self, name: bytes, status: os.stat_result, file: int) -> bool:
        """Return whether the file found under this name is private. ``file``: its descriptor."""
        identity = status.st_dev, status.st_ino
        suspect = self._suspects.get(name)
        if suspect is None:
            suspect = self._suspect(name)
        if not suspect and identity not in self._identities:
            return False  # nearly all files, which cost no more than this
        if any(_identity(path) == identity for path in self._paths):
            self._warn_once(identity, "%r belongs to a poolctl server and is not published", name)
            return True
        return may_be_topology(name) and self._is_topology_text(name, status, file)

    def _suspect(self, name: bytes) -> bool:
        """Return whether a file of this name must be checked."""
        if len(self._suspects) >= REMEMBERED:
            self._suspects.clear()
        found = self._suspects[name] = name in self._names or may_be_topology(name)
        return found

    def _warn_once(self, identity: tuple[int, int], message: str, name: bytes) -> None:
        """Log once for each file why it is not published, for users who miss it."""
        if identity not in self._said and len(self._said) < REMEMBERED:
            self._said.add(identity)
            log.warning(message, os.fsdecode(name))

    def _is_topology_text(self, name: bytes, status: os.stat_result, file: int) -> bool:
        if self._is_topology is None or not stat.S_ISREG(status.st_mode) or status.st_size > EXAMINED_BYTES:
            return False
        key = status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
        seen = self._seen.get(key)
        if seen is None:
            seen = self._is_topology(os.pread(file, EXAMINED_BYTES, 0))
            if len(self._seen) >= REMEMBERED:
                self._seen.clear()
            self._seen[key] = seen
            if seen:
                self._warn_once(key[:2], _TOPOLOGY, name)
        return seen


_TOPOLOGY = "%r is a poolctl topology and is not published; to publish it, rename it to end in .txt"


def may_be_topology(name: bytes) -> bool:
    """Return whether this could be the name of a topology."""
    return b".y" in name or b".Y" in name or name.endswith(LIKE_ONE)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None  # not created yet, or removed
    return status.st_dev, status.st_ino
