"""One line per finding, beginning with FILE:LINE:COLUMN, which editors and grep understand."""

from __future__ import annotations

from collections.abc import Sequence

from poolctl.cli.formats import FindingsReport
from poolctl.cli.output import echo


def show(reports: Sequence[FindingsReport]) -> None:
    """Print one line per finding; nothing for a topology without findings."""
    for report in reports:
        for finding in report.findings:
            echo(finding.concise, wrap=False)
