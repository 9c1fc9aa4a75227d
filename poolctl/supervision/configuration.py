"""A configuration: one version of the topology, as the supervisor knows it. A reload replaces it by its successor."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

from poolctl.errors import PoolctlError
from poolctl.supervision.plan import Plan
from poolctl.supervision.reports import Report
from poolctl.supervision.totals import Meter, nothing_counted


class ExitCode(IntEnum):
    """How a change of a running server ended."""

    DONE = 0
    REFUSED = 1  # nothing has changed
    LATE = 3  # nothing has changed, since the new processes took too long
    INVALID = 78  # the topology is not valid (EX_CONFIG of sysexits.h)


@dataclass(frozen=True)
class Review:
    """What came of reading a topology again. ``exit``: DONE, or why it cannot be applied; ``text``: the reason, and its
    fix; ``changes``: some lines for each key that differs; ``made``: what ``Configuration.successor`` takes; ``hot``:
    how many keys differ if running processes can take all of them, otherwise 0; ``renewed``: when the newest file was
    changed that a start reads beside the topology and the app's code, in seconds since 1970."""

    exit: ExitCode
    text: str = ""
    changes: tuple[str, ...] = ()
    made: Any = None
    hot: int = 0
    renewed: float = 0.0


@dataclass(frozen=True)
class WatchedFiles:
    """What a configuration was made from, as absolute paths. ``folders``: those with code of the app, including all
    folders in them."""

    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


class Reviewer(Protocol):
    """Knows where a configuration comes from: files, and options of the command line."""

    @property
    def file(self) -> str:
        """The absolute path of the topology; empty if it came from elsewhere."""

    @property
    def watched(self) -> WatchedFiles:
        """The files and folders whose changes are changes of the server, in development."""

    def explain(self, report: Report) -> str:
        """Return the message for a generation that could not start; empty: the report's own text."""

    def review(self) -> Review:
        """Read the topology as it is now. Called in a process of its own, which may take its time or fail."""


class Configuration(ABC):
    """What to run. Every generation is forked by one configuration, which may fork several, one after the other.

    ``listeners``: open listening sockets of this server's own; after a stop each is shut when its queue is empty.
    ``drain``: seconds that a stop may take. ``reopen``: called for a SIGUSR1, which then goes on to the mold; None: no
    log file is open.
    """

    name: str  # of the topology, for titles and log lines
    listeners: Sequence[socket.socket]
    drain: float
    reopen: Callable[[], None] | None = None
    reviewer: Reviewer | None = None  # None: it cannot be reloaded
    stream: float | None = None  # seconds that streams may go on within the drain, if they have less than that
    notice: float = 0.0  # seconds between the request to stop and the beginning of the drain
    ready: float = 60.0  # seconds that a new generation of it has to become ready
    size: int = 0  # workers, as the file says
    workers: int = 0  # workers with which its generations begin
    most: int = 0  # workers to which a pool may grow by itself

    def prepare(self) -> None:  # noqa: B027  # not every configuration has something to prepare
        """Called in the supervisor before each generation is forked."""

    @abstractmethod
    def build(self) -> Plan:
        """Return the plan of a generation; called in its mold. May raise anything."""

    @abstractmethod
    def announce(self) -> None:
        """Called when the server is ready for the first time, and after each reload: say where it serves."""

    def summary(self) -> str:
        """Return one line about the server that serves, for the service manager."""
        return f"serving {self.name}"

    def figures(self, workers: int = 0) -> dict[str, Any]:
        """Return what the newest generation of this configuration is doing, for status. ``workers``: how many it has;
        0: as many as it began with."""
        return {}

    def meter(self) -> Meter:
        """Return what reads the counts of the generation that is forked next; called after ``prepare``."""
        return nothing_counted

    def bequest(self) -> tuple[dict[str, Any], set[int]]:
        """Return what the supervisor needs that an upgrade starts, as JSON, and all descriptors that this names."""
        return {}, set()

    def take_over(self) -> list[int]:
        """Called in the supervisor that an upgrade has started: what names the supervisor's process names this one from
        now on. Returns the descriptors of all ``listeners``. Raises OSError, and then nothing has changed."""
        return []

    def release(self) -> None:  # noqa: B027  # not every configuration names the supervisor
        """Called in a supervisor that an upgrade replaces: remove what names this process, unless it is the other's
        now."""

    def leave(self) -> None:  # noqa: B027  # not every configuration opens something
        """Called at the end of a supervisor that an upgrade has replaced: close everything, without an effect on the
        server, which goes on elsewhere."""

    def resume(self, failed: int) -> None:  # noqa: B027  # not every configuration names the supervisor
        """Called in a supervisor that an upgrade has not replaced: what names the supervisor's process names this one.
        ``failed``: the process that is gone. Raises PoolctlError and OSError."""

    def successor(self, made: Any) -> Configuration:
        """Return the configuration of a review, with the sockets of all addresses that it has in common with this one.
        Raises PoolctlError if it cannot be opened; then nothing has changed.
        """
        raise NotImplementedError("this configuration cannot be replaced")

    def resized(self, size: int) -> Configuration:
        """Return the same configuration with so many workers. Raises PoolctlError as ``successor`` does."""
        raise NotImplementedError("this configuration cannot be resized")

    def reopened(self) -> Configuration:
        """Return the same configuration with new sockets in place of its own, which were shut. Raises PoolctlError as
        ``successor`` does."""
        raise NotImplementedError("this configuration cannot be opened again")

    def change(self, made: Any) -> bytes:
        """Return the new values of a review for ``Plan.prepare``. Raises PoolctlError if its configuration differs from
        this one in anything else, or is to have new processes."""
        raise PoolctlError("this configuration takes no new values")

    def take(self, made: Any) -> None:
        """From now on be the configuration of a review whose values all processes of the generation have. Raises
        OSError, and then has taken nothing."""
        raise NotImplementedError("this configuration cannot take new values")

    def discard(self, other: Configuration | None) -> None:  # noqa: B027  # not every configuration opens something
        """Close what this configuration has and ``other`` has not. Called in the supervisor when no generation of this
        configuration is left, and in each mold of ``other``."""
