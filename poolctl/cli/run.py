"""poolctl run: serve a topology in the foreground."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from poolctl.cli.arguments import File, Listen, Overlays, Sets

if TYPE_CHECKING:
    from poolctl.config.diagnostic import Diagnostic

EX_CONFIG = 78  # sysexits.h; a systemd unit says RestartPreventExitStatus=78


def run(file: File, overlays: Overlays = None, listen: Listen = None, sets: Sets = None) -> None:
    """Serve a topology in the foreground.

    SIGINT or SIGTERM drains and exits with 0, a second one stops at once. A file that is not valid exits with 78.
    """
    from poolctl.assembly.environment import findings
    from poolctl.assembly.judge import judge
    from poolctl.assembly.resolve import assembled_from
    from poolctl.cli.log import start_logging
    from poolctl.config.diagnostic import Invalid, in_order
    from poolctl.config.sources import Inputs
    from poolctl.errors import PoolctlError

    try:
        judgement = judge(Inputs(file, tuple(overlays or ()), tuple(sets or ()), tuple(listen or ())))
        parts = assembled_from(judgement)
    except Invalid as invalid:
        raise _refused(file, invalid.diagnostics, EX_CONFIG) from None
    # The app is imported by those who run it; everything else is looked at before anything is opened.
    both = [*judgement.findings, *findings(judgement, app=False)]
    found = in_order(map(_for_a_second, both), judgement.tree.sources)
    if any(each.severity == "error" for each in found):
        raise _refused(file, found, 1)
    start_logging()
    for finding in found:
        logging.getLogger("poolctl").warning("%s", finding.concise)
    from poolctl.assembly.assemble import serve  # the runtime, which nobody needs for a file that is not valid

    try:
        status = serve(parts)
    except PoolctlError as error:
        logging.getLogger("poolctl").error("%s", error)
        raise typer.Exit(1) from None
    raise typer.Exit(status)


def _for_a_second(finding: Diagnostic) -> Diagnostic:
    """That the topology runs already is a note to who validates it, and an error to who starts another one."""
    return replace(finding, severity="error") if finding.severity == "note" else finding


def _refused(file: str, found: Sequence[Diagnostic], status: int) -> typer.Exit:
    """Say why, as validate does, and how to leave."""
    from poolctl.cli.formats import Report
    from poolctl.cli.formats.human import findings, verdict

    findings(found, sys.stderr)
    typer.echo(f"\n{file}: {verdict(Report(file, found))}", err=True)
    return typer.Exit(status)
