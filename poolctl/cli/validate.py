"""poolctl validate: say everything that is wrong with a topology, or what it assembles."""

from __future__ import annotations

import typer

from poolctl.cli.arguments import File, Sets

VALID, FINDINGS, UNREADABLE = 0, 1, 2


def validate(file: File, sets: Sets = None) -> None:
    """Say everything that is wrong with a topology, or what it assembles.

    Exits with 0 when it is valid, 1 when it is not, 2 when it cannot be read.
    """
    from poolctl.assembly.describe import describe
    from poolctl.assembly.resolve import read
    from poolctl.cli.findings import closing
    from poolctl.config.diagnostic import Invalid, Unreadable

    try:
        parts = read(file, sets or [])
    except Invalid as invalid:
        typer.echo(f"{invalid}\n\n{closing(file, invalid)}")
        raise typer.Exit(FINDINGS) from None
    except Unreadable as unreadable:
        typer.echo(f"error: {unreadable}", err=True)
        raise typer.Exit(UNREADABLE) from None
    typer.echo("\n  ".join([f"{file}: valid", *describe(parts)]))
