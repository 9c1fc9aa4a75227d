"""What the processes of the server find around them: variables of the environment, and room for temporary files."""

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
    """Warnings of variables without effect, and of temporary files that have no place."""
    topology, tree = judgement.topology, judgement.tree
    assert topology is not None
    for name in set_too_late(topology.environment):
        message = f"environment: {name} has no effect on the app's processes, which have started when it is set"
        fix = f"set {name} where poolctl is started, before `poolctl run`"
        yield Diagnostic("PC427", message, tree.at_key(("environment", name)), fix, severity="warning")
    given = {name: value for name in NAMES if (value := topology.environment.get(name))}
    around = {name: value for name in NAMES if name not in topology.environment and (value := os.environ.get(name))}
    there = topology.directory or _here()
    try:
        identity = Identity.find(topology.user, topology.group)
    except PoolctlError:
        return  # which is a finding of its own
    with identity.acting() if identity else nullcontext():
        refused = {name: path for name, path in given.items() if not _takes_files(os.path.join(there, path))}
        found = any(map(_takes_files, [*(os.path.join(there, each) for each in around.values()), *USUAL, there]))
    for name, path in refused.items():
        message = f"environment: {path} ({name}) takes no temporary files, so they go to another directory"
        fix = f"create the directory and let {topology.user or 'this user'} write there"
        yield Diagnostic("PC428", message, tree.at_value(("environment", name)), fix, severity="warning")
    if not found and len(refused) == len(given):
        message = "no directory takes temporary files: large bodies are kept in memory, and tempfile fails in the app"
        place = tree.at_value(("app",))
        fix = "mount a tmpfs at /tmp, or name a directory with environment: {TMPDIR: PATH}"
        yield Diagnostic("PC428", message, place, fix, severity="warning")


def _here() -> str:
    """As tempfile does: by its name, which another file system may have been mounted over."""
    try:
        return os.getcwd()
    except OSError:
        return "."  # it is gone


def _takes_files(path: str) -> bool:
    """Whether this user may make files there; a file system that is mounted read-only says no (access(2), EROFS)."""
    return os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK, effective_ids=True)
