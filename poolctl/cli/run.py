"""poolctl run: serve a topology in the foreground."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from poolctl.cli.arguments import Listen, Meant, Overlays, Sets
from poolctl.cli.output import say

if TYPE_CHECKING:
    from poolctl.assembly.judging.judge import Judgement
    from poolctl.config.diagnostic import Diagnostic
    from poolctl.supervision.reports import Report

EX_CONFIG = 78  # sysexits.h; a systemd unit says RestartPreventExitStatus=78


def run(file: Meant = "", overlays: Overlays = None, listen: Listen = None, sets: Sets = None) -> None:
    """Serve a topology in the foreground.

    Without FILE it is topology.yaml in this folder. An app, shop:app or shop.py, gets a topology, which is printed.

    SIGINT or SIGTERM drains and exits with 0, a second one stops at once. A file that is not valid exits with 78.
    """
    from poolctl.assembly.environment import findings
    from poolctl.assembly.judging.judge import judge
    from poolctl.assembly.resolve import assembled_from
    from poolctl.cli.inputs import inputs
    from poolctl.cli.log import start_logging
    from poolctl.config.diagnostic import Invalid, in_order
    from poolctl.errors import PoolctlError

    given = inputs(file, overlays, sets, listen, imports=True)
    file = given.file
    try:
        judgement = judge(given)
        parts = assembled_from(judgement)
    except Invalid as invalid:
        raise _refused(file, invalid.diagnostics, EX_CONFIG) from None
    # The processes that run the app import it; everything else is checked before anything is opened.
    both = [*judgement.findings, *findings(judgement, app=False)]
    found = in_order(map(_for_a_second, both), judgement.tree.sources)
    if any(each.severity == "error" for each in found):
        raise _refused(file, found, 1)
    start_logging()
    for finding in found:
        logging.getLogger("poolctl").warning("%s", finding.concise)
    from poolctl.assembly.assemble import serve  # the runtime, which a file that is not valid does not need

    try:
        status = serve(parts, lambda report: _explained(file, judgement, report))
    except PoolctlError as error:
        logging.getLogger("poolctl").error("%s", error)
        raise typer.Exit(1) from None
    raise typer.Exit(status)


def _explained(file: str, judgement: Judgement, report: Report) -> str:
    """A first start that failed for the app, in the words of `validate`; empty where it failed for another reason."""
    from poolctl.assembly.environment.app import why_it_failed
    from poolctl.cli.formats import Report as Findings
    from poolctl.cli.formats.human import verdict, written
    from poolctl.cli.output import columns, folded

    found = why_it_failed(judgement, report)
    if found is None:
        return ""
    last = folded(f"{file}: {verdict(Findings(file, [found]))}", columns(sys.stderr))
    return f"{written([found], sys.stderr)}\n{last}\n"


def _for_a_second(finding: Diagnostic) -> Diagnostic:
    """That the topology runs already is a note for validate, and an error for a second start."""
    return replace(finding, severity="error") if finding.severity == "note" else finding


def _refused(file: str, found: Sequence[Diagnostic], status: int) -> typer.Exit:
    """Say why, as validate does, and how to leave."""
    from poolctl.cli.formats import Report
    from poolctl.cli.formats.human import findings, verdict

    findings(found, sys.stderr)
    say(f"\n{file}: {verdict(Report(file, found))}", err=True)
    return typer.Exit(status)
