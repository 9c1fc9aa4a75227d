"""poolctl run: serve a topology in the foreground."""

from __future__ import annotations

import logging
import sys

import typer

from poolctl.cli.arguments import File, Listen, Overlays, Sets

EX_CONFIG = 78  # sysexits.h; a systemd unit says RestartPreventExitStatus=78


def run(file: File, overlays: Overlays = None, listen: Listen = None, sets: Sets = None) -> None:
    """Serve a topology in the foreground.

    SIGINT or SIGTERM drains and exits with 0, a second one stops at once. A file that is not valid exits with 78.
    """
    from poolctl.assembly.judge import judge
    from poolctl.assembly.resolve import assembled_from
    from poolctl.cli.log import start_logging
    from poolctl.config.diagnostic import Invalid
    from poolctl.config.sources import Inputs
    from poolctl.errors import PoolctlError

    try:
        judgement = judge(Inputs(file, tuple(overlays or ()), tuple(sets or ()), tuple(listen or ())))
        parts = assembled_from(judgement)
    except Invalid as invalid:
        from poolctl.cli.formats import Report
        from poolctl.cli.formats.human import findings, verdict

        findings(invalid.diagnostics, sys.stderr)
        typer.echo(f"\n{file}: {verdict(Report(file, invalid.diagnostics))}", err=True)
        raise typer.Exit(EX_CONFIG) from None
    start_logging()
    for finding in judgement.findings:
        logging.getLogger("poolctl").warning("%s", finding.concise)
    from poolctl.assembly.assemble import serve  # the runtime, which nobody needs for a file that is not valid

    try:
        status = serve(parts)
    except PoolctlError as error:
        logging.getLogger("poolctl").error("%s", error)
        raise typer.Exit(1) from None
    raise typer.Exit(status)
