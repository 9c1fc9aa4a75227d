"""For programs: one object, in the shape of `terraform validate -json`.

``format_version`` grows by its second number when keys are added and by its first when one changes. Lines and columns
count from 1, in characters; the end is exclusive. A finding about an option of the command line has that option as its
filename, and ``is_file`` false.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from poolctl.cli.formats import Report
from poolctl.cli.output import say
from poolctl.config.diagnostic import Diagnostic, Place

FORMAT_VERSION = "1.0"


def show(reports: Sequence[Report]) -> None:
    """One object for all reports."""
    errors = sum(report.count("error") for report in reports)
    say(
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
        whole=True,
    )


def finding(diagnostic: Diagnostic) -> dict[str, Any]:
    """One finding; every key is always there."""
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
