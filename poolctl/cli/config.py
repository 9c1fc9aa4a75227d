"""poolctl config: the complete file, with where each value comes from."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from poolctl.cli.arguments import Listen, Meant, Overlays, Sets
from poolctl.cli.output import say


class Form(StrEnum):
    """The words of --format."""

    YAML = "yaml"
    JSON = "json"


def config(
    file: Meant = "",
    overlays: Overlays = None,
    sets: Sets = None,
    listen: Listen = None,
    form: Annotated[Form, typer.Option("--format", help="YAML with comments, or JSON with sources.")] = Form.YAML,
    show_secrets: Annotated[bool, typer.Option("--show-secrets", help="Show passwords and the like too.")] = False,
) -> None:
    """Print the complete topology, every default filled in, and where each value comes from."""
    import json

    from poolctl.cli.load_or_exit import judged
    from poolctl.description.complete_file import complete_file
    from poolctl.description.settings import settings

    found = settings(judged(file, overlays, sets, listen))
    if form == Form.YAML:
        say(complete_file(found, show_secrets=show_secrets), end="", whole=True)
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
    say(json.dumps({"format_version": "1.0", "settings": shown}, indent=2), whole=True)
