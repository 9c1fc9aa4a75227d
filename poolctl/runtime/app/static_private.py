"""Files of the server itself that may lie in a folder it serves: its topology, keys, PID file and access log."""

from __future__ import annotations

import os
from collections.abc import Sequence


class Private:
    """They are known by their identity, so that links to them are found too. The names and identities of the start only
    tell which files to look at: a file may be replaced, and its old number given to another, while the server runs."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._names = {os.fsencode(os.path.basename(path)) for path in paths}
        self._identities = {_identity(path) for path in paths}

    def has(self, name: bytes, status: os.stat_result) -> bool:
        """Whether what was found by this name is one of them."""
        identity = status.st_dev, status.st_ino
        if name not in self._names and identity not in self._identities:
            return False
        return any(_identity(path) == identity for path in self._paths)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None  # not made yet, or gone
    return status.st_dev, status.st_ino
