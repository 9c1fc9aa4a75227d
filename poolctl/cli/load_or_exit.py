"""A topology that a command needs valid, or the words of `validate` and the way out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from poolctl.cli.output import say

if TYPE_CHECKING:
    from poolctl.assembly.judging.judge import Judgement

UNUSABLE = 2


def judged(
    file: str,
    overlays: Sequence[str] | None = None,
    sets: Sequence[str] | None = None,
    listen: Sequence[str] | None = None,
    status: int = UNUSABLE,
) -> Judgement:
    """The topology. Says what is wrong with it on standard error and leaves with ``status`` when it is not valid."""
    from poolctl.assembly.judging.judge import judge
    from poolctl.cli.inputs import inputs
    from poolctl.config.diagnostic import Invalid

    given = inputs(file, list(overlays or ()), list(sets or ()), list(listen or ()))
    file = given.file
    try:
        judgement = judge(given)
        if not judgement.errors:
            return judgement
        found = judgement.errors
    except Invalid as invalid:
        found = invalid.diagnostics
    from poolctl.cli.formats import Report
    from poolctl.cli.formats.human import findings, verdict

    findings(found, sys.stderr)
    say(f"\n{file}: {verdict(Report(file, found))}", err=True)
    raise typer.Exit(status)
