"""poolctl plugin list: the words of each axis, and the distribution of each."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from poolctl.cli.output import say


class Form(StrEnum):
    """The words of --format."""

    TEXT = "text"
    JSON = "json"


def list_plugins(
    form: Annotated[Form, typer.Option("--format", help="How it is printed.")] = Form.TEXT,
) -> None:
    """List the parts that topologies can name: poolctl's own, and those of installed plugins.

    Only names are read, and nothing is imported. Two distributions with the same name are both listed, and neither can
    be used.
    """
    import json

    from poolctl import __version__
    from poolctl.assembly.plugins.reference import AXES, references
    from poolctl.assembly.registry import REGISTRY, words

    rows = []
    for axis in REGISTRY:
        rows += [(axis, word, f"poolctl {__version__}") for word in words(axis)]
        rows += [(axis, each.text, each.distribution) for each in (references(axis) if axis in AXES else [])]
    if form is Form.JSON:
        found = [dict(zip(("axis", "name", "distribution"), row, strict=True)) for row in rows]
        say(json.dumps(found, indent=2), whole=True)
        return
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for axis, name, distribution in rows:
        say(f"{axis.ljust(widths[0])}  {name.ljust(widths[1])}  {distribution}")
