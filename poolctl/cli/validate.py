"""poolctl validate: print every finding in topologies, or what they assemble."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from poolctl.cli.arguments import Listen, Overlays, Sets

if TYPE_CHECKING:
    from poolctl.cli.formats import FindingsReport
    from poolctl.config.sources import Inputs

VALID, FINDINGS, UNREADABLE = 0, 1, 2


class ValidateFormat(StrEnum):
    """The values of --format."""

    HUMAN = "human"
    CONCISE = "concise"
    JSON = "json"
    GITHUB = "github"
    SARIF = "sarif"


def validate(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE|FOLDER|APP", help="Topologies; - reads standard input.")
    ] = None,
    overlays: Overlays = None,
    sets: Sets = None,
    listen: Listen = None,
    form: Annotated[
        ValidateFormat, typer.Option("--format", help="Output format of the findings.")
    ] = ValidateFormat.HUMAN,
    strict: Annotated[bool, typer.Option("--strict", help="Count warnings as errors.")] = False,
    environment: Annotated[
        bool, typer.Option("--environment/--no-environment", help="Check this host too: ports, files, the app.")
    ] = True,
) -> None:
    """Check topologies: print every finding with its location and a fix, or what a valid one assembles.

    Exits with 0 if all are valid, 1 if one is invalid, 2 if one cannot be read.
    """
    from poolctl.cli.formats import show
    from poolctl.cli.inputs import resolve_inputs

    files = files or []
    if files.count("-") > 1 or (len(files) > 1 and "-" in (overlays or ())):  # each of the files would read it
        raise typer.BadParameter("standard input can be read only once", param_hint="FILE...")
    reports = [
        _report(resolve_inputs(file, overlays, sets, listen, imports=environment), environment)._replace(strict=strict)
        for file in files or [""]
    ]
    show(form.value)(reports)
    if any(finding.code == "PC100" for report in reports for finding in report.findings):
        raise typer.Exit(UNREADABLE)
    raise typer.Exit(VALID if all(report.valid for report in reports) else FINDINGS)


def _report(inputs: Inputs, environment: bool) -> FindingsReport:
    from poolctl.assembly.judging.judge import judge
    from poolctl.cli.formats import FindingsReport
    from poolctl.config.diagnostic import Invalid, in_order
    from poolctl.config.sources import STDIN

    name = STDIN if inputs.file == "-" else inputs.file
    try:
        judgement = judge(inputs)
    except Invalid as invalid:
        return FindingsReport(name, invalid.diagnostics)
    if judgement.errors or judgement.topology is None or judgement.combination is None:
        return FindingsReport(name, judgement.findings)
    from poolctl.assembly.describe import describe

    found = judgement.findings
    if environment:
        from poolctl.assembly.environment import findings as of_the_host

        found = in_order([*found, *of_the_host(judgement)], judgement.tree.sources)
    described = describe(judgement.topology, judgement.combination, judgement.workers)
    return FindingsReport(name, found, described)
