"""Whether the Python code that this process has loaded is still that of its files.

A process with old code and new values would be neither the old server nor the new one. So before processes take new
values each looks at the files of its modules, libraries included. The time of a file's last status change (ctime) is
compared: unlike that of its last modification no tool that copies files sets it. A link to a folder, as of a release,
has such a time too, and so has what is left of the path of a file that is gone: the folder that it was deleted from,
or the archive that it was imported from. Code is not all that an app reads: templates and the like are not seen.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from os import lstat, stat
from stat import S_ISLNK
from time import time
from typing import TypeVar

CLOCK_SECONDS = (
    0.02  # seconds by which the clock of a file system may be late: one tick of the slowest kernel, and more
)

T = TypeVar("T")


class LoadedCode:
    """The modules of this process. Times are in seconds since 1970."""

    def __init__(self) -> None:
        """Called before any code is loaded that is looked at."""
        self._since = time()
        self._later: dict[str, float] = {}  # when a module was loaded, if that was later, by its name

    def load(self, make: Callable[[], T]) -> T:
        """Return what this makes, for which it may load modules: their files may be newer than the others."""
        before, began = set(sys.modules), time()
        try:
            return make()
        finally:
            self._later.update(dict.fromkeys(set(sys.modules) - before, began))

    def newer(self) -> str:
        """Return the path of a loaded module whose file, or a link to it, has changed since; empty: there is none."""
        links: dict[str, float] = {}  # by folder: when the newest link on the way to it was made
        for name, module in list(sys.modules.items()):
            path = getattr(module, "__dict__", {}).get("__file__")
            if isinstance(path, str) and _changed(path, links) >= self._later.get(name, self._since) - CLOCK_SECONDS:
                return path
        return ""


def _changed(path: str, links: dict[str, float]) -> float:
    """Return when the file, or a link on the way to it, was changed last; if it does not exist, what is left of the
    path; 0 if the path is made up."""
    path = os.path.abspath(path) if os.path.exists(path) else path
    if not os.path.isabs(path):
        return 0.0
    try:
        changed = stat(path).st_ctime
    except (OSError, ValueError):  # inside an archive, or deleted
        return _changed(os.path.dirname(path), links)
    return max(changed, _linked(os.path.dirname(path), links))


def _linked(folder: str, links: dict[str, float]) -> float:
    """Return when the newest link among this path and those above it was made; 0 if none is a link."""
    found = links.get(folder)
    if found is None:
        above = os.path.dirname(folder)
        try:
            state = lstat(folder)
            found = state.st_ctime if S_ISLNK(state.st_mode) else 0.0
        except OSError:
            found = 0.0
        found = links[folder] = max(found, _linked(above, links) if above != folder else 0.0)
    return found
