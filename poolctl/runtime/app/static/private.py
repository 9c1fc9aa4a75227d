"""Files of servers that may lie in a folder that is served: topologies, keys, PID files and access logs."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Sequence

log = logging.getLogger("poolctl")
LARGEST = 64 << 10  # bytes of a file that is looked into; a larger topology is refused
REMEMBERED = 1024  # files that were looked into, and names
LIKE_ONE = (b".json", b".JSON")  # and .yaml, .yml in any part of a name: editors add to it (.yaml~, .yaml.bak)


class Private:
    """The server's own files are known by their identity, so that links to them are found too. The names and identities
    of the start only tell which files to look at: a file may be replaced, and its old number given to another, while
    the server runs. Topologies that appear later, or lie deeper, are known by their text."""

    def __init__(self, paths: Sequence[str], is_topology: Callable[[bytes], bool] | None = None) -> None:
        self._paths = paths
        self._names = {os.fsencode(os.path.basename(path)) for path in paths}
        self._identities = {_identity(path) for path in paths}
        self._is_topology = is_topology
        self._suspects: dict[bytes, bool] = {}
        self._said: set[tuple[int, int]] = set()
        self._seen: dict[tuple[int, int, int, int], bool] = {}

    def has(self, name: bytes, status: os.stat_result, file: int) -> bool:
        """Whether what was found by this name is one of them. ``file``: its descriptor."""
        identity = status.st_dev, status.st_ino
        suspect = self._suspects.get(name)
        if suspect is None:
            suspect = self._suspect(name)
        if not suspect and identity not in self._identities:
            return False  # nearly all files, so this is all that they cost
        if any(_identity(path) == identity for path in self._paths):
            self._say(identity, "%r belongs to a server of poolctl, so it is not published", name)
            return True
        return like_one(name) and self._is_one(name, status, file)

    def _suspect(self, name: bytes) -> bool:
        """Whether a file of this name has to be looked at."""
        if len(self._suspects) >= REMEMBERED:
            self._suspects.clear()
        found = self._suspects[name] = name in self._names or like_one(name)
        return found

    def _say(self, identity: tuple[int, int], message: str, name: bytes) -> None:
        """Once for each file: whoever wants to publish it must be able to find out why it is not there."""
        if identity not in self._said and len(self._said) < REMEMBERED:
            self._said.add(identity)
            log.warning(message, os.fsdecode(name))

    def _is_one(self, name: bytes, status: os.stat_result, file: int) -> bool:
        if self._is_topology is None or not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
            return False
        key = status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
        seen = self._seen.get(key)
        if seen is None:
            seen = self._is_topology(os.pread(file, LARGEST, 0))
            if len(self._seen) >= REMEMBERED:
                self._seen.clear()
            self._seen[key] = seen
            if seen:
                self._say(key[:2], _TOPOLOGY, name)
        return seen


_TOPOLOGY = "%r is a topology of poolctl, so it is not published; to publish it, let its name end in .txt"


def like_one(name: bytes) -> bool:
    """Whether a topology might have this name."""
    return b".y" in name or b".Y" in name or name.endswith(LIKE_ONE)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None  # not made yet, or gone
    return status.st_dev, status.st_ino
