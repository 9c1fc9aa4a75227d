"""Loads a topology that a command needs to be valid, or prints its findings and exits."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from poolctl.assembly.judging.judge import Judgement

UNUSABLE = 2


def load_or_exit(
    file: str,
    overlays: Sequence[str] | None = None,
    sets: Sequence[str] | None = None,
    listen: Sequence[str] | None = None,
    status: int = UNUSABLE,
) -> Judgement:
    """Return the judgement of a valid topology.

    If it is invalid, print its findings on standard error as `validate` does, and exit with ``status``.
    """
    from poolctl.assembly.judging.judge import judge
    from poolctl.cli.inputs import resolve_inputs
    from poolctl.config.diagnostic import Invalid

    given = resolve_inputs(file, list(overlays or ()), list(sets or ()), list(listen or ()))
    file = given.file
    try:
        judgement = judge(given)
        if not judgement.errors:
            return judgement
        found = judgement.errors
    except Invalid as invalid:
        found = invalid.diagnostics
    from poolctl.cli.formats.human import with_verdict

    sys.stderr.write(with_verdict(file, found, sys.stderr))
    raise typer.Exit(status)
