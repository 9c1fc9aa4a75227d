"""SARIF 2.1.0 (OASIS, 2020), a format for code scanners. https://docs.oasis-open.org/sarif/sarif/v2.1.0/"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from poolctl import __version__
from poolctl.cli.formats import FindingsReport
from poolctl.cli.output import echo
from poolctl.config.codes import CODES
from poolctl.config.diagnostic import Diagnostic, Place

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def show(reports: Sequence[FindingsReport]) -> None:
    """Print one run with all reports."""
    found = [finding for report in reports for finding in report.findings]
    codes = sorted({finding.code for finding in found})
    driver = {
        "name": "poolctl",
        "version": __version__,
        "semanticVersion": __version__,
        "rules": [_rule(code) for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, codes) for finding in found],
    }
    echo(json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2), wrap=False)


def _rule(code: str) -> dict[str, Any]:
    about = CODES[code]
    return {"id": code, "shortDescription": {"text": about.title}, "fullDescription": {"text": about.why}}


def _result(finding: Diagnostic, codes: Sequence[str]) -> dict[str, Any]:
    texts = [finding.message, *finding.notes, *([f"help: {finding.help}"] if finding.help else [])]
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": codes.index(finding.code),
        "level": finding.severity,
        "message": {"text": "\n".join(texts)},
        "locations": [_location(finding.place)],
    }
    if finding.related:
        result["relatedLocations"] = [
            {"id": number, "message": {"text": label.text}, **_location(label.place)}
            for number, label in enumerate(finding.related)
        ]
    return result


def _location(place: Place) -> dict[str, Any]:
    """Return a position in a file, or a command-line option as a logical location."""
    source, span = place
    if not source.is_file:
        return {"logicalLocations": [{"name": source.name, "kind": "parameter"}]}
    region = {"startLine": span.line + 1, "startColumn": span.column + 1, "endLine": span.end_line + 1}
    region["endColumn"] = max(span.end_column, span.column + (span.end_line == span.line)) + 1
    path = Path(source.name)
    uri = path.as_uri() if path.is_absolute() else quote(path.as_posix())
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}
