"""From an argument of the command line to a plugin, or the words why there is none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from poolctl.assembly.plugins.inspection import Description
    from poolctl.assembly.plugins.reference import Reference

UNUSABLE = 2


def found(what: str) -> tuple[Reference, Description]:
    """The plugin of FILE:CLASS, or of a name. Says what is wrong on standard error and leaves with 2."""
    from poolctl.assembly.plugins.inspection import Description, described
    from poolctl.assembly.plugins.reference import AXES, NotFound, find

    refused = ""
    for axis in AXES:
        reference = find(axis, what, Path())
        if reference is None:
            continue
        if isinstance(reference, NotFound):
            raise left(reference.message, reference.mend)
        description = described(reference)
        if isinstance(description, Description):
            return reference, description
        if "is not below poolctl.plugin" not in description.message:  # it is of this axis, and cannot be used
            raise left(description.message, description.mend, description.detail)
        refused = f"{what} is below none of the classes of poolctl.plugin that are for an axis: {', '.join(AXES)}"
    raise left(refused or f'there is no plugin "{what}"', "poolctl plugin list shows what is installed")


def left(message: str, mend: str = "", detail: str = "") -> typer.Exit:
    """Said on standard error, and the way out."""
    typer.echo(f"error: {message}", err=True)
    if mend:
        typer.echo(f"help: {mend}", err=True)
    if detail:
        typer.echo(detail, err=True)
    return typer.Exit(UNUSABLE)
