"""Output formats of findings: one file for each value of ``--format``, imported only when it is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Literal, NamedTuple

from poolctl.config.diagnostic import Diagnostic, number_of

Format = Literal["human", "concise", "json", "github", "sarif"]


class FindingsReport(NamedTuple):
    """The findings of one topology, and the description of a valid one. ``strict``: warnings count as errors."""

    file: str
    findings: Sequence[Diagnostic]
    described: Sequence[str] = ()
    strict: bool = False

    @property
    def valid(self) -> bool:
        return not self.count("error") and not (self.strict and self.count("warning"))

    def count(self, severity: str) -> int:
        return sum(finding.severity == severity for finding in self.findings)


Show = Callable[[Sequence[FindingsReport]], None]


def show(form: Format) -> Show:
    """Return the function that prints reports in this format to standard output."""
    found: Show = import_module(f"poolctl.cli.formats.{form}").show
    return found


def counted(reports: Sequence[FindingsReport]) -> str:
    """Return the number of findings of each severity, in words; empty without findings."""
    counts = {severity: sum(report.count(severity) for report in reports) for severity in ("error", "warning", "note")}
    return ", ".join(number_of(count, severity) for severity, count in counts.items() if count)
