"""Output for programs: one object, in the shape of `terraform validate -json`.

The second number of ``format_version`` grows when keys are added, the first when a key changes. Lines and columns count
from 1, in characters; the end is exclusive. A finding about a command-line option has the option as its filename, and
``is_file`` is false.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from poolctl.cli.formats import FindingsReport
from poolctl.cli.output import echo
from poolctl.config.diagnostic import Diagnostic, Place

FORMAT_VERSION = "1.0"


def show(reports: Sequence[FindingsReport]) -> None:
    """Print one object for all reports."""
    errors = sum(report.count("error") for report in reports)
    echo(
        json.dumps(
            {
                "format_version": FORMAT_VERSION,
                "valid": all(report.valid for report in reports),
                "error_count": errors,
                "warning_count": sum(report.count("warning") for report in reports),
                "files": [{"filename": each.file, "valid": each.valid} for each in reports],
                "diagnostics": [finding(each) for report in reports for each in report.findings],
            },
            indent=2,
        ),
        wrap=False,
    )


def finding(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return one finding; it always has every key."""
    source, span = diagnostic.place
    return {
        "severity": diagnostic.severity,
        "code": diagnostic.code,
        "summary": diagnostic.message,
        "detail": diagnostic.detail,
        "help": diagnostic.help,
        "notes": list(diagnostic.notes),
        "range": place(diagnostic.place),
        "snippet": {"code": source.line(span.line), "start_line": span.line + 1} if source.text else None,
        "related": [{"range": place(label.place), "message": label.text} for label in diagnostic.related],
    }


def place(there: Place) -> dict[str, Any]:
    source, span = there
    return {
        "filename": source.name,
        "is_file": source.is_file,
        "start": {"line": span.line + 1, "column": span.column + 1},
        "end": {"line": span.end_line + 1, "column": span.end_column + 1},
    }
