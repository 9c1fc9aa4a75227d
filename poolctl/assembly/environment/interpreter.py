"""Checks whether the file's user can read the modules of the Python that runs poolctl, including those that are
imported later."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from poolctl.config.diagnostic import Diagnostic
from poolctl.errors import PoolctlError
from poolctl.runtime.system.identity import Identity
from poolctl.supervision.python_access import advice, first_inaccessible, python_folders

if TYPE_CHECKING:
    from poolctl.assembly.judging.judge import Judgement


def check(judgement: Judgement) -> Iterator[Diagnostic]:
    """Yields a warning when this user cannot enter a folder on the way to them."""
    topology = judgement.topology
    assert topology is not None
    try:
        identity = Identity.find(topology.user, topology.group)
    except PoolctlError:
        return  # PC420 reports it
    if identity is None or identity.uid == 0:
        return
    with identity.acting():
        folder, path = first_inaccessible(python_folders())
    if not folder:
        return
    message = f"user: {topology.user} cannot enter {folder}, so no module is found in {path} once the processes run"
    place = judgement.tree.at_value(("user",))
    yield Diagnostic("PC429", f"{message} as {topology.user}", place, advice(topology.user), severity="warning")
