"""poolctl config: print the complete topology, with the source of each value."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from poolctl.cli.arguments import Listen, Overlays, Sets, TopologyArgument
from poolctl.cli.output import echo


class ConfigFormat(StrEnum):
    """The values of --format."""

    YAML = "yaml"
    JSON = "json"


def config(
    file: TopologyArgument = "",
    overlays: Overlays = None,
    sets: Sets = None,
    listen: Listen = None,
    form: Annotated[
        ConfigFormat, typer.Option("--format", help="YAML with comments, or JSON with sources.")
    ] = ConfigFormat.YAML,
    show_secrets: Annotated[bool, typer.Option("--show-secrets", help="Show passwords and other secrets.")] = False,
) -> None:
    """Print the complete topology, with every default filled in and the source of each value."""
    import json

    from poolctl.cli.load_or_exit import load_or_exit
    from poolctl.description.complete_file import complete_file
    from poolctl.description.settings import settings

    found = settings(load_or_exit(file, overlays, sets, listen))
    if form == ConfigFormat.YAML:
        echo(complete_file(found, show_secrets=show_secrets), end="", wrap=False)
        return
    shown = [
        {
            "key": each.key,
            "value": None if each.secret and not show_secrets else each.shown,
            "source": each.source,
            "masked": each.secret and not show_secrets,
        }
        for each in found
    ]
    echo(json.dumps({"format_version": "1.0", "settings": shown}, indent=2), wrap=False)
