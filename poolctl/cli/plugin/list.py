"""poolctl plugin list: the words of each axis, and the distribution that each comes from."""

from __future__ import annotations

from typing import Annotated

import typer

from poolctl.cli.arguments import TextOrJson
from poolctl.cli.output import echo


def list_plugins(
    form: Annotated[TextOrJson, typer.Option("--format", help="Output for people, or for programs.")] = TextOrJson.TEXT,
) -> None:
    """List the parts that topologies can name: the built-in ones, and those of installed plugins.

    Only names are read; nothing is imported. A name that two distributions use is listed twice and unusable.
    """
    import json

    from poolctl import __version__
    from poolctl.assembly.plugins.reference import AXES, references
    from poolctl.assembly.registry import REGISTRY, words

    rows = []
    for axis in REGISTRY:
        rows += [(axis, word, f"poolctl {__version__}") for word in words(axis)]
        rows += [(axis, each.text, each.distribution) for each in (references(axis) if axis in AXES else [])]
    if form is TextOrJson.JSON:
        found = [dict(zip(("axis", "name", "distribution"), row, strict=True)) for row in rows]
        echo(json.dumps(found, indent=2), wrap=False)
        return
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for axis, name, distribution in rows:
        echo(f"{axis.ljust(widths[0])}  {name.ljust(widths[1])}  {distribution}")
