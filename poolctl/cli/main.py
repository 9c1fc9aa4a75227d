"""The command poolctl. The commands import what they need when they run, so that --help is quick."""

from __future__ import annotations

from typing import Annotated

import typer

from poolctl import __version__
from poolctl.cli.init import init
from poolctl.cli.run import run
from poolctl.cli.validate import validate

cli = typer.Typer(
    help="One YAML file chooses how a server spreads its work over a pool of processes or threads, and runs it.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
cli.command()(init)
cli.command()(run)
cli.command()(validate)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"poolctl {__version__}")
        raise typer.Exit


@cli.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """What stands before the command; its callback has done all there is to do."""


def main() -> None:
    cli()
