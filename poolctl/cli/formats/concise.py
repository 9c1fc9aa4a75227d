"""A line for each finding, FILE:LINE:COLUMN first, which editors and grep understand."""

from __future__ import annotations

from collections.abc import Sequence

from poolctl.cli.formats import Report
from poolctl.cli.output import say


def show(reports: Sequence[Report]) -> None:
    """The lines, and nothing for a topology that has no findings."""
    for report in reports:
        for finding in report.findings:
            say(finding.concise, whole=True)
