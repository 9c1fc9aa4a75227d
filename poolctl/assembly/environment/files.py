"""Checks of accounts, the working directory, the PID file and the access log."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING

from poolctl.config.diagnostic import Diagnostic
from poolctl.errors import PoolctlError
from poolctl.runtime.system.identity import Identity
from poolctl.runtime.system.pid_file import HeldPidFile, refuse_other

if TYPE_CHECKING:
    from poolctl.assembly.judging.judge import Judgement
    from poolctl.config.model import Topology

STREAMS = ("stdout", "stderr")


def check(judgement: Judgement) -> Iterator[Diagnostic]:
    """Yields a finding for each key that cannot be applied on this host."""
    topology, tree = judgement.topology, judgement.tree
    assert topology is not None
    identity = None
    try:
        identity = Identity.find(topology.user, topology.group)
    except PoolctlError as error:
        message, _, fix = str(error).partition(": ")[2].partition(": ")
        key = "user" if str(error).startswith("user") else "group"
        yield Diagnostic("PC420", f"{key}: {message}", tree.at_value((key,)), fix)
    yield from _directory(judgement, topology, identity)
    if topology.pid_file:
        yield from _pid_file(judgement, topology)
    if topology.access_log and topology.access_log.to not in STREAMS:
        yield from _access_log(judgement, topology, identity)


def inside(topology: Topology, path: str) -> str:
    """A path as the server sees it, relative to its working directory."""
    return os.path.join(topology.directory, path) if topology.directory else path


def _directory(judgement: Judgement, topology: Topology, identity: Identity | None) -> Iterator[Diagnostic]:
    if not topology.directory:
        return
    reason = fix = ""
    if not os.path.isdir(topology.directory):
        reason, fix = "there is no such folder", "create it, or name another"
    else:
        with identity.acting() if identity else nullcontext():
            if not os.access(topology.directory, os.X_OK, effective_ids=True):
                reason = f"user {topology.user or os.geteuid()} may not enter it"
                fix = "let this user enter it and the folders above it, or name another"
    if reason:
        place = judgement.tree.at_value(("directory",))
        message = f"directory: {topology.directory} cannot be entered: {reason}"
        yield Diagnostic("PC421", message, place, fix)


def _pid_file(judgement: Judgement, topology: Topology) -> Iterator[Diagnostic]:
    path = os.path.abspath(inside(topology, topology.pid_file))
    place, folder = judgement.tree.at_value(("pid_file",)), os.path.dirname(path)
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        reason, fix = f"there is no folder {folder}", "create the folder, or name another file"
        if os.path.isdir(folder):
            reason, fix = f"this user may not write to {folder}", "let this user write there, or name another file"
        yield Diagnostic("PC422", f"pid_file: {path} cannot be written: {reason}", place, fix)
        return
    try:
        refuse_other(path)
    except FileNotFoundError:
        return
    except OSError as error:
        yield Diagnostic("PC422", f"pid_file: {path} cannot be read: {error.strerror}", place, "name another file")
    except PoolctlError as error:
        message, _, fix = str(error).rpartition(": ")
        running = isinstance(error, HeldPidFile)  # an error to `run`, which needs the file
        yield Diagnostic("PC422", message, place, fix, severity="note" if running else "error")


def _access_log(judgement: Judgement, topology: Topology, identity: Identity | None) -> Iterator[Diagnostic]:
    assert topology.access_log is not None
    path = os.path.abspath(inside(topology, topology.access_log.to))
    with identity.acting() if identity else nullcontext():
        reason, fix = _unwritable(path)
    if reason:
        as_user = f" as user {topology.user}" if identity and topology.user else ""
        place = judgement.tree.at_value(("access_log", "to"))
        message = f"access_log: {path} cannot be opened{as_user}: {reason}"
        yield Diagnostic("PC423", message, place, fix)


def _unwritable(path: str) -> tuple[str, str]:
    """Why a file cannot be appended to or created, and the fix; both empty when it can."""
    denied = "Permission denied", "let this user write there, or name another file"
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            return "it is a folder", "name a file in it"
        return ("", "") if os.access(path, os.W_OK, effective_ids=True) else denied
    except FileNotFoundError:
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):
            return f"there is no folder {folder}", "create the folder, and let this user write there"
        return ("", "") if os.access(folder, os.W_OK | os.X_OK, effective_ids=True) else denied
    except PermissionError:
        return denied
    except OSError as error:
        return str(error.strerror), "name another file"
