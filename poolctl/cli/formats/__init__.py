"""How findings are shown: a file for each word of ``--format``. None of them is imported until it is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Literal, NamedTuple

from poolctl.config.diagnostic import Diagnostic

Format = Literal["human", "concise", "json", "github", "sarif"]


class Report(NamedTuple):
    """What was found in one topology, and what it assembles when it is valid."""

    file: str
    findings: Sequence[Diagnostic]
    described: Sequence[str] = ()

    def count(self, severity: str) -> int:
        return sum(finding.severity == severity for finding in self.findings)


Show = Callable[[Sequence[Report]], None]


def show(form: Format) -> Show:
    """The function that prints reports in a format to standard output."""
    found: Show = import_module(f"poolctl.cli.formats.{form}").show
    return found


def counted(reports: Sequence[Report]) -> str:
    """How many of each severity there are, in words; empty when there is nothing."""
    texts = []
    for severity in ("error", "warning", "note"):
        count = sum(report.count(severity) for report in reports)
        if count:
            texts.append(f"{count} {severity}{'' if count == 1 else 's'}")
    return ", ".join(texts)
