"""Serves a topology in the foreground: what `poolctl run` does, without what it takes to parse unusual options.

Neither typer nor click is imported here, so that a usual command line (``entry.py``) starts faster.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from poolctl.assembly.judging.judge import Judgement
    from poolctl.assembly.resolve import Parts
    from poolctl.config.diagnostic import Diagnostic
    from poolctl.config.sources import Inputs
    from poolctl.supervision.takeover import Takeover

WATCHING = "it runs with --watch, which is for development; restart it"
UNREPEATABLE = "the topology was read from standard input, which cannot be read again; restart the server"
EX_CONFIG = 78  # sysexits.h; for a systemd unit with RestartPreventExitStatus=78


class WrongUse(Exception):
    """An option, or a variable of the environment, is wrong. ``name``: its name; ``reason``: why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


def serve_in_foreground(
    file: str, overlays: list[str] | None, listen: list[str] | None, sets: list[str] | None, *, watch: bool
) -> NoReturn:
    """Serve until the server has stopped, and exit. Raises WrongUse, SystemExit."""
    from poolctl.cli.inputs import resolve_inputs
    from poolctl.cli.log import VARIABLE, level_in, start_logging
    from poolctl.errors import PoolctlError
    from poolctl.supervision.launch import Launch
    from poolctl.supervision.signals import write_in_the_background

    write_in_the_background()
    unrepeatable = UNREPEATABLE if "-" in (file, *(overlays or ())) else WATCHING if watch else ""
    launch = Launch.of_this_process(unrepeatable)
    takeover = _takeover()
    try:
        level = level_in(os.environ)
    except ValueError as error:
        raise WrongUse(VARIABLE, str(error)) from None
    if watch and "-" in (file, *(overlays or ())):
        raise WrongUse("--watch", "standard input cannot be read again; name a file")
    given = resolve_inputs(file, overlays, sets, listen, imports=True)
    judgement, parts, found = _judged(given, takeover)
    start_logging(level=level)
    for finding in found:
        logging.getLogger("poolctl").warning("%s", finding.concise)
    from poolctl.assembly.assemble import serve  # imports the runtime, which an invalid file does not need
    from poolctl.cli.review import Given

    try:
        status = serve(parts, Given(given, judgement, os.getcwd()), launch=launch, takeover=takeover, watch=watch)
    except PoolctlError as error:
        if takeover and takeover.pending:
            takeover.fail(1, str(error))
        else:
            logging.getLogger("poolctl").error("%s", error)
        raise SystemExit(1) from None
    raise SystemExit(status)


def _takeover() -> Takeover | None:
    """Return the upgrade that has started this process; None if something else has."""
    from poolctl.supervision.handover import VARIABLE

    if VARIABLE not in os.environ:
        return None
    from poolctl.cli.servers import fail
    from poolctl.errors import PoolctlError
    from poolctl.supervision.takeover import Takeover

    try:
        return Takeover.from_environment(os.environ)
    except PoolctlError as error:
        fail(str(error))


def _judged(given: Inputs, takeover: Takeover | None) -> tuple[Judgement, Parts, list[Diagnostic]]:
    """Return what is to be served, and warnings. Prints errors as `validate` does, and exits."""
    from poolctl.assembly.environment import findings
    from poolctl.assembly.judging.judge import judge
    from poolctl.assembly.resolve import assembled_from
    from poolctl.config.diagnostic import Invalid, in_order

    try:
        judgement = judge(given)
        parts = assembled_from(judgement)
    except Invalid as invalid:
        raise _refused(given.file, invalid.diagnostics, EX_CONFIG, takeover) from None
    # The app is imported by the processes that run it; everything else is checked before anything is opened.
    both = [*judgement.findings, *findings(judgement, app=False, running=takeover is not None)]
    if takeover:  # notes say that the addresses and the PID file are in use, which is so because it takes them over
        both = [each for each in both if each.severity != "note"]
    found = in_order(map(_notes_as_errors, both), judgement.tree.sources)
    if any(each.severity == "error" for each in found):
        raise _refused(given.file, found, 1, takeover)
    return judgement, parts, found


def _notes_as_errors(finding: Diagnostic) -> Diagnostic:
    """That the topology is already running is a note for `validate`, but an error for a second start."""
    return replace(finding, severity="error") if finding.severity == "note" else finding


def _refused(file: str, found: Sequence[Diagnostic], status: int, takeover: Takeover | None) -> SystemExit:
    """Print the findings as `validate` does, or give them to whoever asked for an upgrade. Returns the exit to
    raise."""
    from poolctl.cli.formats.human import with_verdict

    text = with_verdict(file, found, sys.stderr)
    if takeover:
        takeover.fail(status, text)
    else:
        sys.stderr.write(text)
    return SystemExit(status)
