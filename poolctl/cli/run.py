"""poolctl run: serve a topology in the foreground."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from poolctl.cli.arguments import Listen, Overlays, Sets, TopologyArgument

if TYPE_CHECKING:
    from poolctl.config.diagnostic import Diagnostic

EX_CONFIG = 78  # sysexits.h; for a systemd unit with RestartPreventExitStatus=78


Watched = Annotated[
    bool, typer.Option("--watch", help="For development: reload whenever the code or the topology changes.")
]


def run(
    file: TopologyArgument = "",
    overlays: Overlays = None,
    listen: Listen = None,
    sets: Sets = None,
    watch: Watched = False,
) -> None:
    """Serve a topology in the foreground.

    Without FILE it serves topology.yaml in this folder. For an app (shop:app, shop.py) it makes and prints a topology.

    SIGINT or SIGTERM drains; a second one stops immediately. Exits with 0 if every request was answered.

    Exits with 78 if the file is invalid.
    """
    from poolctl.assembly.environment import findings
    from poolctl.assembly.judging.judge import judge
    from poolctl.assembly.resolve import assembled_from
    from poolctl.cli.inputs import resolve_inputs
    from poolctl.cli.log import VARIABLE, level_in, start_logging
    from poolctl.config.diagnostic import Invalid, in_order
    from poolctl.errors import PoolctlError

    try:
        level = level_in(os.environ)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=VARIABLE) from None
    if watch and "-" in (file, *(overlays or ())):
        raise typer.BadParameter("standard input cannot be read again; name a file", param_hint="--watch")
    given = resolve_inputs(file, overlays, sets, listen, imports=True)
    file = given.file
    try:
        judgement = judge(given)
        parts = assembled_from(judgement)
    except Invalid as invalid:
        raise _refused(file, invalid.diagnostics, EX_CONFIG) from None
    # The app is imported by the processes that run it; everything else is checked before anything is opened.
    both = [*judgement.findings, *findings(judgement, app=False)]
    found = in_order(map(_notes_as_errors, both), judgement.tree.sources)
    if any(each.severity == "error" for each in found):
        raise _refused(file, found, 1)
    start_logging(level=level)
    for finding in found:
        logging.getLogger("poolctl").warning("%s", finding.concise)
    from poolctl.assembly.assemble import serve  # imports the runtime, which an invalid file does not need
    from poolctl.cli.review import Given

    try:
        status = serve(parts, Given(given, judgement, os.getcwd()), watch=watch)
    except PoolctlError as error:
        logging.getLogger("poolctl").error("%s", error)
        raise typer.Exit(1) from None
    raise typer.Exit(status)


def _notes_as_errors(finding: Diagnostic) -> Diagnostic:
    """That the topology is already running is a note for `validate`, but an error for a second start."""
    return replace(finding, severity="error") if finding.severity == "note" else finding


def _refused(file: str, found: Sequence[Diagnostic], status: int) -> typer.Exit:
    """Print the findings as `validate` does. Returns the exit to raise."""
    from poolctl.cli.formats.human import with_verdict

    sys.stderr.write(with_verdict(file, found, sys.stderr))
    return typer.Exit(status)
