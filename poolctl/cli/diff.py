"""poolctl diff: what changes from one topology to another, and how a running server could take it over."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poolctl.cli.output import say

if TYPE_CHECKING:
    from poolctl.description.changes import Change
    from poolctl.description.settings import Setting

SAME, DIFFERENT = 0, 1
CONCLUSIONS = {
    "hot": "A running server could take this over as it is.",
    "generation": (
        "A running server could take this over by a new generation; addresses that both have refuse no clients."
    ),
    "restart": "Only a restart takes all of this over.",
}


class Form(StrEnum):
    """The words of --format."""

    HUMAN = "human"
    JSON = "json"


def diff(
    old: Annotated[
        str, typer.Argument(metavar="OLD", help="The topology that runs, its folder or an app; - for standard input.")
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The one that is to run, in the same way.")],
    form: Annotated[Form, typer.Option("--format", help="For people, or for programs.")] = Form.HUMAN,
) -> None:
    """Say what changes from one topology to another, and how a running server could take it over.

    Exits with 0 when both say the same, 1 when they differ, 2 when one is not valid.
    """
    import json

    from poolctl.cli.load_or_exit import judged
    from poolctl.description.changes import changes, hardest
    from poolctl.description.settings import settings

    if old == new == "-":
        raise typer.BadParameter("standard input can be read only once", param_hint="NEW")
    before, after = judged(old), judged(new)
    found = changes(settings(before), settings(after))
    how = hardest(found)
    if form == Form.JSON:
        shown = {"format_version": "1.0", "by": how, "changes": [_as_json(change) for change in found]}
        say(json.dumps(shown, indent=2), whole=True)
    elif how is None:
        say(f"{old} and {new} say the same")
    else:
        for change in found:
            say(_line(change))
        say(f"\n{CONCLUSIONS[how]}")
    raise typer.Exit(SAME if how is None else DIFFERENT)


def _line(change: Change) -> str:
    values = f"{_value(change.old)} -> {_value(change.new)}"
    sources = " -> ".join(each.source for each in (change.old, change.new) if each is not None)
    return f"{change.key}: {values}\n    {sources}\n    {change.how}: {change.why}"


def _value(setting: Setting | None) -> str:
    from poolctl.description.complete_file import value

    if setting is None:
        return "(not there)"
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
