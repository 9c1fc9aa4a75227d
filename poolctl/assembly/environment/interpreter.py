"""Whether the file's user can read the modules of the Python that runs poolctl, those that nobody has imported yet
among them."""

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
    """A warning when there is a folder on the way that this user cannot enter."""
    topology = judgement.topology
    assert topology is not None
    try:
        identity = Identity.find(topology.user, topology.group)
    except PoolctlError:
        return  # PC420 says so
    if identity is None or identity.uid == 0:
        return
    with identity.acting():
        folder, path = first_inaccessible(python_folders())
    if not folder:
        return
    message = f"user: {topology.user} cannot enter {folder}, so no module is found in {path} once the processes run"
    place = judgement.tree.at_value(("user",))
    yield Diagnostic("PC429", f"{message} as {topology.user}", place, advice(topology.user), severity="warning")
