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
from poolctl.runtime.system.pid_file import refuse_other

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
    reason = ""
    if not os.path.isdir(topology.directory):
        reason = "there is no such folder"
    else:
        with identity.acting() if identity else nullcontext():
            if not os.access(topology.directory, os.X_OK, effective_ids=True):
                reason = f"user {topology.user or os.geteuid()} may not enter it"
    if reason:
        place = judgement.tree.at_value(("directory",))
        message = f"directory: {topology.directory} cannot be entered: {reason}"
        yield Diagnostic("PC421", message, place, "create it, or name another")


def _pid_file(judgement: Judgement, topology: Topology) -> Iterator[Diagnostic]:
    path = os.path.abspath(inside(topology, topology.pid_file))
    place, folder = judgement.tree.at_value(("pid_file",)), os.path.dirname(path)
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        reason = "this user may not write there" if os.path.isdir(folder) else f"there is no folder {folder}"
        yield Diagnostic("PC422", f"pid_file: {path} cannot be written: {reason}", place, "create it, or name another")
        return
    try:
        refuse_other(path)
    except FileNotFoundError:
        return
    except OSError as error:
        yield Diagnostic("PC422", f"pid_file: {path} cannot be read: {error.strerror}", place, "name another")
    except PoolctlError as error:
        message, _, fix = str(error).rpartition(": ")
        severity = "note" if "which runs" in message else "error"
        yield Diagnostic("PC422", message, place, fix, severity=severity)  # type: ignore[arg-type]  # one of the two


def _access_log(judgement: Judgement, topology: Topology, identity: Identity | None) -> Iterator[Diagnostic]:
    assert topology.access_log is not None
    path = os.path.abspath(inside(topology, topology.access_log.to))
    with identity.acting() if identity else nullcontext():
        reason = _unwritable(path)
    if reason:
        as_user = f" as user {topology.user}" if identity and topology.user else ""
        place = judgement.tree.at_value(("access_log", "to"))
        message = f"access_log: {path} cannot be opened{as_user}: {reason}"
        yield Diagnostic("PC423", message, place, "create its folder, and let this user write there")


def _unwritable(path: str) -> str:
    """Why a file cannot be appended to or created; empty when it can."""
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            return "it is a folder"
        return "" if os.access(path, os.W_OK, effective_ids=True) else "Permission denied"
    except FileNotFoundError:
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):
            return f"there is no folder {folder}"
        return "" if os.access(folder, os.W_OK | os.X_OK, effective_ids=True) else "Permission denied"
    except OSError as error:
        return str(error.strerror)
