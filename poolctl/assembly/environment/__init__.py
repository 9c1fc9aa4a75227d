"""The environment stage of validation: needs of the topology that this host does not meet.

The checks leave nothing behind: sockets are bound and closed, files are not changed, and the app is imported in a child
process. A topology that passes may still fail later, because hosts change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from poolctl.assembly.environment import addresses
from poolctl.config.diagnostic import Diagnostic

if TYPE_CHECKING:
    from poolctl.assembly.judging.judge import Judgement

CANNOT_ENTER = " cannot enter "
NO_PLACE = ("PC420", "PC421")  # without its user or directory the app is not loaded
Check = Callable[["Judgement"], Iterator[Diagnostic]]


def findings(judgement: Judgement, *, app: bool = True, running: bool = False) -> list[Diagnostic]:
    """The findings that keep a valid topology from running on this host, and warnings.

    ``app``: import the app too, which runs the user's code. ``running``: a server of this topology runs here, so its
    addresses are not checked.
    """
    found = [finding for check in _checks(judgement, running) for finding in check(judgement)]
    assert judgement.combination is not None
    if app and judgement.combination.service.needs and not any(each.code in NO_PLACE for each in found):
        from poolctl.assembly.environment import app as of_app

        of_its_import = list(of_app.check(judgement))
        if any(each.code == "PC411" and CANNOT_ENTER in each.help for each in of_its_import):
            found = [each for each in found if each.code != "PC429"]  # the cause, which the help already gives
        found += of_its_import
    return judgement.tree.report(found, earlier=False)


def _checks(judgement: Judgement, running: bool) -> Iterator[Check]:
    """Run only the checks that the topology needs, so that no other modules are imported."""
    topology = judgement.topology
    assert topology is not None  # callers have looked at the errors
    if not running:
        yield addresses.check
    if topology.user or topology.group or topology.directory or topology.pid_file or topology.access_log:
        from poolctl.assembly.environment import files

        yield files.check
    if topology.user:
        from poolctl.assembly.environment import interpreter

        yield interpreter.check
    if topology.environment:
        from poolctl.assembly.environment import variables

        yield variables.check
    if any(address.tls for address in topology.listen):
        from poolctl.assembly.environment import certificates

        yield certificates.check
    from poolctl.assembly.environment import limits, processes

    yield limits.check
    yield processes.check
