"""What differs in the processes of a server in development, `poolctl run --watch`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.machinery import SourceFileLoader
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poolctl.assembly.resolve import Parts

DRAIN_SECONDS = 2.0  # at most, whatever the file says: somebody waits at a terminal
START_SECONDS = 2.0  # before the start of the server: a file may have been saved in the same second


def with_short_drain(parts: Parts) -> Parts:
    """Return the parts of a server that neither stops nor reloads slowly."""
    timeouts = parts.topology.timeouts
    short = timeouts.model_copy(update={"drain": min(timeouts.drain, DRAIN_SECONDS)})  # a longer stream sets no limit
    return replace(parts, topology=parts.topology.model_copy(update={"timeouts": short}))


def distrust_bytecode(since: float) -> None:
    """In a mold: compile the modules whose source is younger than the server. ``since``: its start, in seconds since
    1970.

    Python takes a source of the same second and size as before for unchanged, and then runs the old bytecode (the
    library reference, py_compile, on invalidation by timestamps). Two edits within a second are not rare in
    development. A loader that does not know the time of a source neither reads nor writes bytecode for it.
    """
    known = SourceFileLoader.path_stats

    def path_stats(self: SourceFileLoader, path: str) -> Mapping[str, Any]:
        stats = known(self, path)
        if stats["mtime"] >= since - START_SECONDS:
            raise OSError(f"{path} is younger than the server")  # as importlib.abc.SourceLoader.path_stats allows
        return stats

    SourceFileLoader.path_stats = path_stats  # type: ignore[method-assign]  # of all loaders, those of plugins too
