"""Checks of the processes' surroundings: environment variables, and a directory for temporary files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING

from poolctl.assembly.variables import set_too_late
from poolctl.config.diagnostic import Diagnostic
from poolctl.errors import PoolctlError
from poolctl.runtime.system.identity import Identity

if TYPE_CHECKING:
    from poolctl.assembly.judging.judge import Judgement

NAMES = ("TMPDIR", "TEMP", "TMP")
USUAL = ("/tmp", "/var/tmp", "/usr/tmp")  # the library reference, tempfile.gettempdir


def check(judgement: Judgement) -> Iterator[Diagnostic]:
    """Yields warnings about variables without effect, and about missing directories for temporary files."""
    topology, tree = judgement.topology, judgement.tree
    assert topology is not None
    for name in set_too_late(topology.environment):
        message = f"environment: {name} has no effect on the app's processes, which are already running when it is set"
        fix = f"set {name} where poolctl is started, before `poolctl run`"
        yield Diagnostic("PC427", message, tree.at_key(("environment", name)), fix, severity="warning")
    given = {name: value for name in NAMES if (value := topology.environment.get(name))}
    around = {name: value for name in NAMES if name not in topology.environment and (value := os.environ.get(name))}
    there = topology.directory or _here()
    try:
        identity = Identity.find(topology.user, topology.group)
    except PoolctlError:
        return  # PC420 reports it
    with identity.acting() if identity else nullcontext():
        refused = {name: path for name, path in given.items() if not _takes_files(os.path.join(there, path))}
        found = any(map(_takes_files, [*(os.path.join(there, each) for each in around.values()), *USUAL, there]))
    for name, path in refused.items():
        message = f"environment: {path} ({name}) is not writable, so temporary files go to another directory"
        fix = f"create the directory and let {topology.user or 'this user'} write there"
        yield Diagnostic("PC428", message, tree.at_value(("environment", name)), fix, severity="warning")
    if not found and len(refused) == len(given):
        message = (
            "no directory for temporary files is writable: large bodies stay in memory, and tempfile fails in the app"
        )
        place = tree.at_value(("app",))
        fix = "mount a tmpfs at /tmp, or set environment: {TMPDIR: PATH} to a writable directory"
        yield Diagnostic("PC428", message, place, fix, severity="warning")


def _here() -> str:
    """The working directory by its name, as tempfile takes it: another file system may be mounted over it."""
    try:
        return os.getcwd()
    except OSError:
        return "."  # it is gone


def _takes_files(path: str) -> bool:
    """Whether this user may create files in a directory; not on a read-only file system (access(2), EROFS)."""
    return os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK, effective_ids=True)
