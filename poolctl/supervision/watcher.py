"""The watcher: a process of its own in development, which tells the supervisor which files have changed.

    supervisor ==lifeline==> watcher --["/srv/shop/app.py"]--> supervisor       a line of JSON for each change

Watched are the files of the topology, and all Python and .env files in the folders of the app and below. That is more
than the app has imported: a new module counts, one that failed to be imported, and one that a request would import; and
no process that runs the app has to tell what it loaded. Folders that hold no code of the app's own are left out: hidden
ones, __pycache__, node_modules, virtual environments, and those behind symbolic links.

What has changed is found in one way only: by a look at all files, compared with the one before (modification time, size
and inode). What differs is when to look. With watchfiles the kernel says when something happens in the folders; without
it there is a look after a pause, which is so long that looking takes less than a hundredth of a core.

After a change there are further looks until nothing changes any more, so files saved together are one change.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from select import POLLIN, poll

from poolctl.supervision.configuration import WatchedFiles

log = logging.getLogger("poolctl")

LOOK_ENTRIES = 20_000  # entries of folders that a look takes in; what is nearer to the top comes first
NO_CODE = ("__pycache__", "node_modules", "site-packages")  # names of folders
VIRTUAL_ENVIRONMENT = "pyvenv.cfg"  # the file that makes a folder one (PEP 405)

PAUSE_SECONDS = 0.2  # between two looks, at least
PAUSE_PER_SECOND = 200.0  # seconds of pause for each second of CPU time that a look takes
SETTLE_SECONDS = 0.05  # without a change, after which files are no longer being saved
SETTLE_LOOKS = 40  # after so many a change is reported although further ones follow
STEP_MILLISECONDS = 50  # between two looks of watchfiles at what the kernel has reported
TIMEOUT_MILLISECONDS = 1000  # after which watchfiles returns although nothing has happened
TOLD_FILES = 10  # names in a report

Stamp = tuple[int, int, int]  # modification time in nanoseconds, bytes, inode


@dataclass
class Look:
    """What a look has found. ``whole``: everything that is to be watched."""

    stamps: dict[str, Stamp]  # by path
    folders: set[str]
    whole: bool


def is_code(name: str) -> bool:
    """Whether a file of this name, in a folder of the app, is watched."""
    return (name.endswith(".py") and name[0] != ".") or name == ".env" or name.startswith(".env.")


def look(watched: WatchedFiles) -> Look:
    """Look at all files. Files and folders that cannot be read do not exist."""
    stamps: dict[str, Stamp] = {}
    folders: set[str] = set()
    left = LOOK_ENTRIES
    waiting = deque(dict.fromkeys(watched.folders))
    while waiting and left > 0:
        folder = waiting.popleft()
        if folder in folders:  # below another one
            continue
        try:
            with os.scandir(folder) as listing:
                entries = list(islice(listing, left))
        except OSError:
            continue
        left -= len(entries)
        if all(entry.name != VIRTUAL_ENVIRONMENT for entry in entries):
            folders.add(folder)
            waiting += [entry.path for entry in entries if _leads_to_code(entry)]
            _add(stamps, [entry for entry in entries if is_code(entry.name)])
    _add(stamps, watched.files)
    return Look(stamps, folders, whole=not waiting and left > 0)


def _leads_to_code(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.name[0] != "." and entry.name not in NO_CODE and entry.is_dir(follow_symlinks=False)
    except OSError:  # its type is unknown, and it has gone
        return False


def _add(stamps: dict[str, Stamp], files: Iterable[str | os.DirEntry[str]]) -> None:
    for file in files:
        try:
            status = os.stat(file)
        except OSError:
            continue
        stamps[os.fspath(file)] = status.st_mtime_ns, status.st_size, status.st_ino


def watch(watched: WatchedFiles, since: float, reports: int, lifeline: int) -> int:
    """Report changes until the lifeline ends. Returns the exit status.

    ``since``: seconds since 1970; what changed after that moment and before this call is reported too. ``reports``: a
    descriptor to write to.
    """
    watcher = Watcher(watched, lifeline)
    recent = {path for path, (moment, _, _) in watcher.seen.stamps.items() if since < moment / 1e9 <= time.time()}
    try:
        report(recent, reports)
        for _ in watcher.moments():
            report(watcher.changes(), reports)
    except BrokenPipeError:
        log.debug("the supervisor has ended, and so does the watcher")
    return 0


def report(paths: set[str], reports: int) -> None:
    """Report that files have changed, if there are any. Raises BrokenPipeError."""
    if paths:
        data = memoryview(json.dumps(sorted(paths)[:TOLD_FILES]).encode() + b"\n")
        while data:
            data = data[os.write(reports, data) :]


class Watcher:
    """Looks at the files, and knows when to look. ``seen``: the last look."""

    def __init__(self, watched: WatchedFiles, lifeline: int) -> None:
        self.watched = watched
        self._poller = poll()
        self._poller.register(lifeline, POLLIN)  # nothing is ever written: an event is the end
        self._cost = 0.0  # CPU seconds of the last look
        self.seen = self._look()

    def _look(self) -> Look:
        began = time.process_time()
        found = look(self.watched)
        self._cost = time.process_time() - began
        return found

    def changes(self) -> set[str]:
        """Return the files that differ from the last look, once they do not change any more."""
        changed = self._differing()
        for _ in range(SETTLE_LOOKS if changed else 0):
            if self.ended(SETTLE_SECONDS) or not (more := self._differing()):
                break
            changed |= more
        return changed

    def _differing(self) -> set[str]:
        before, self.seen = self.seen.stamps, self._look()
        return {path for path, _ in before.items() ^ self.seen.stamps.items()}

    def ended(self, seconds: float = 0.0) -> bool:
        """Wait for so many seconds, or until the lifeline ends. Return whether it has."""
        return bool(self._poller.poll(seconds * 1000))

    def is_set(self) -> bool:
        """Return whether the lifeline has ended, as an event does for watchfiles."""
        return self.ended()

    # when to look

    def moments(self) -> Iterator[None]:
        """Yield whenever it is time to look, until the lifeline ends."""
        count, where = len(self.seen.stamps), ", ".join(self.watched.folders)
        if not self.seen.whole:
            log.warning("watching only the first %d entries in %s", LOOK_ENTRIES, where)
        try:
            import watchfiles  # noqa: F401  # optional
        except ImportError:
            log.info("watching %d files in %s", count, where)
        else:
            log.info("watching %d files in %s with watchfiles", count, where)
            try:
                yield from self._events()
            except Exception as error:  # noqa: BLE001  # the kernel may refuse, for one reason or another
                log.warning("watchfiles failed (%s); looking at the files every now and then instead", error)
        while not self.ended(max(PAUSE_SECONDS, self._cost * PAUSE_PER_SECOND)):
            yield

    def _events(self) -> Iterator[None]:
        """Yield after each event in the folders, until the lifeline ends. Each folder is watched by itself, so nothing
        is spent on those without code; when there are others they are watched anew."""
        from watchfiles import watch as events  # optional

        while not self.ended():
            files = {os.path.dirname(path) for path in self.watched.files}
            folders = self.seen.folders
            began = False
            for found in events(
                *filter(os.path.isdir, folders | files),
                watch_filter=lambda _, path: self._matters(path),
                debounce=STEP_MILLISECONDS,
                step=STEP_MILLISECONDS,
                rust_timeout=TIMEOUT_MILLISECONDS,
                yield_on_timeout=True,
                stop_event=self,
                recursive=False,
            ):
                if found or not began:
                    yield  # also once after the start, for what happened before it
                began = True
                if self.seen.folders != folders:
                    break

    def _matters(self, path: str) -> bool:
        return is_code(os.path.basename(path)) or path in self.watched.files or os.path.isdir(path)
