"""poolctl run: serve a topology in the foreground."""

from __future__ import annotations

import logging

import typer

from poolctl.cli.arguments import File, Listen, Sets

EX_CONFIG = 78  # sysexits.h; a systemd unit says RestartPreventExitStatus=78


def run(file: File, listen: Listen = None, sets: Sets = None) -> None:
    """Serve a topology in the foreground.

    SIGINT or SIGTERM drains and exits with 0, a second one stops at once. A file that is not valid exits with 78.
    """
    from poolctl.assembly.resolve import read
    from poolctl.cli.findings import closing
    from poolctl.cli.log import start_logging
    from poolctl.config.diagnostic import Invalid, Unreadable
    from poolctl.errors import PoolctlError

    try:
        parts = read(file, sets or [], listen or [])
    except Invalid as invalid:
        typer.echo(f"{invalid}\n\n{closing(file, invalid)}", err=True)
        raise typer.Exit(EX_CONFIG) from None
    except Unreadable as unreadable:
        typer.echo(f"error: {unreadable}", err=True)
        raise typer.Exit(EX_CONFIG) from None
    start_logging()
    from poolctl.assembly.assemble import serve  # the runtime, which nobody needs for a file that is not valid

    try:
        status = serve(parts)
    except PoolctlError as error:
        logging.getLogger("poolctl").error("%s", error)
        raise typer.Exit(1) from None
    raise typer.Exit(status)
