"""Workflow commands, which GitHub shows as annotations at the lines of a change.

GitHub shows 10 annotations of each severity per step and silently drops the rest, so a line of the log counts those.
https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

from collections.abc import Sequence

from poolctl.cli.formats import FindingsReport
from poolctl.cli.output import echo
from poolctl.config.diagnostic import Diagnostic, number_of

SHOWN = 10
COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def show(reports: Sequence[FindingsReport]) -> None:
    """Print the annotations, errors first."""
    found = [finding for report in reports for finding in report.findings]
    for severity, command in COMMANDS.items():
        these = [finding for finding in found if finding.severity == severity]
        for finding in these:
            echo(_annotation(command, finding), wrap=False)
        if len(these) > SHOWN:
            more = number_of(len(these) - SHOWN, f"more {severity}")
            echo(f"{more} in the log only: a step shows {SHOWN} annotations")


def _annotation(command: str, finding: Diagnostic) -> str:
    source, span = finding.place
    where = {}
    if source.is_file:
        end = span.end_line if span.end_line > span.line else span.line
        where = {"file": source.name, "line": span.line + 1, "endLine": end + 1, "col": span.column + 1}
        if end == span.line:  # GitHub uses columns within a single line only
            where["endColumn"] = max(span.end_column, span.column + 1)
    properties = where | {"title": finding.code}
    listed = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items())
    texts = [finding.message, *finding.notes, *([f"help: {finding.help}"] if finding.help else [])]
    return f"::{command} {listed}::{_data(chr(10).join(texts))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
