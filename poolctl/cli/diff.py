"""poolctl diff: what changes from one topology to another, and how a running server could apply it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poolctl.cli.output import echo

if TYPE_CHECKING:
    from poolctl.description.changes import Change
    from poolctl.description.settings import Setting

SAME, DIFFERENT = 0, 1
CONCLUSIONS = {
    "hot": "A running server could apply this without starting new processes.",
    "generation": (
        "A running server could apply this by starting a new generation; unchanged addresses refuse no connections."
    ),
    "restart": "Applying all of this takes a restart.",
}


class DiffFormat(StrEnum):
    """The values of --format."""

    HUMAN = "human"
    JSON = "json"


def diff(
    old: Annotated[
        str, typer.Argument(metavar="OLD", help="The current topology: file, folder or app; - reads standard input.")
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The new topology, given in the same way.")],
    form: Annotated[
        DiffFormat, typer.Option("--format", help="Output for people, or for programs.")
    ] = DiffFormat.HUMAN,
) -> None:
    """Show what changes from one topology to another, and how a running server could apply it.

    Exits with 0 if they are equivalent, 1 if they differ, 2 if one of them is invalid.
    """
    import json

    from poolctl.cli.load_or_exit import load_or_exit
    from poolctl.description.changes import changes, hardest
    from poolctl.description.settings import settings

    if old == new == "-":
        raise typer.BadParameter("standard input can be read only once", param_hint="NEW")
    before, after = load_or_exit(old), load_or_exit(new)
    found = changes(settings(before), settings(after))
    how = hardest(found)
    if form == DiffFormat.JSON:
        shown = {"format_version": "1.0", "by": how, "changes": [_as_json(change) for change in found]}
        echo(json.dumps(shown, indent=2), wrap=False)
    elif how is None:
        echo(f"{old} and {new} are equivalent")
    else:
        for change in found:
            echo(line_of(change))
        echo(f"\n{CONCLUSIONS[how]}")
    raise typer.Exit(SAME if how is None else DIFFERENT)


def line_of(change: Change) -> str:
    """Return the lines about one change."""
    values = f"{_value(change.old)} -> {_value(change.new)}"
    sources = " -> ".join(each.source for each in (change.old, change.new) if each is not None)
    return f"{change.key}: {values}\n    {sources}\n    {change.how}: {change.why}"


def _value(setting: Setting | None) -> str:
    from poolctl.description.complete_file import value

    if setting is None:
        return "(not set)"
    return "(masked)" if setting.secret else value(setting.shown)


def _as_json(change: Change) -> dict[str, Any]:
    return {
        "key": change.key,
        "old": _side(change.old),
        "new": _side(change.new),
        "by": change.how,
        "why": change.why,
    }


def _side(setting: Setting | None) -> dict[str, Any] | None:
    if setting is None:
        return None
    return {"value": None if setting.secret else setting.shown, "source": setting.source, "masked": setting.secret}
