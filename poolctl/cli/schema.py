"""poolctl schema: the JSON Schema of topologies, for editors."""

from __future__ import annotations

from typing import Annotated

import typer

from poolctl.cli.output import echo


def schema(
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FILE", help="Where to write it; - for standard output.")
    ] = "-",
) -> None:
    """Print the JSON Schema of topologies, for completion and checks in editors.

    Editors find it by the first line of a topology: # yaml-language-server: $schema=poolctl.schema.json
    """
    import json

    from poolctl.description.schema import topology_schema

    text = json.dumps(topology_schema(), indent=2) + "\n"
    if output == "-":
        echo(text, end="", wrap=False)
        return
    try:
        with open(output, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        echo(f"error: cannot write {output}: {error.strerror}", err=True)
        raise typer.Exit(2) from None
