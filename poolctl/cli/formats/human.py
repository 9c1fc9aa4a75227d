"""Output for people: each finding with the lines that it is about, in color on a terminal unless NO_COLOR is set."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import StringIO
from typing import TextIO

from poolctl.cli.formats import FindingsReport, counted
from poolctl.cli.output import echo, fold_lines, terminal_width
from poolctl.config.diagnostic import Diagnostic, printable
from poolctl.config.human import Page, lines, plain

MAX_FINDINGS = 50  # of a file that are shown; fixing these comes first
STYLES = {
    "error": "bold red",
    "warning": "bold yellow",
    "note": "bold cyan",
    "message": "bold",
    "gutter": "blue",
    "label": "blue",
    "help": "bold green",
}
MARKS = {"error": "red", "warning": "yellow", "note": "cyan"}


def show(reports: Sequence[FindingsReport]) -> None:
    """Print each report, and a total when there are several."""
    for number, report in enumerate(reports):
        if number:
            echo()
        findings(report.findings, sys.stdout)
        if report.findings:
            echo()
        described = report.described if report.valid else ()
        echo("\n  ".join([f"{printable(report.file)}: {verdict(report)}", *described]))
    if len(reports) > 1:
        echo(f"\n{len(reports)} files: {counted(reports) or 'all valid'}")


def verdict(report: FindingsReport) -> str:
    """Return the verdict on a report, to follow the name of the file."""
    found = counted([report])
    if report.count("error"):
        return found
    if not report.valid:
        return f"{found}; --strict counts warnings as errors"
    return f"valid, {found}" if found else "valid"


def findings(found: Sequence[Diagnostic], stream: TextIO) -> None:
    """Write findings to a stream, with an empty line between them."""
    stream.write(rendered(found, stream))


def with_verdict(file: str, found: Sequence[Diagnostic], stream: TextIO) -> str:
    """Return the findings about one file as text for a stream, and the verdict below them."""
    last = fold_lines(f"{file}: {verdict(FindingsReport(file, found))}", terminal_width(stream))
    return f"{rendered(found, stream)}\n{last}\n"


def rendered(found: Sequence[Diagnostic], stream: TextIO) -> str:
    """Return findings as text for a stream: for a terminal in color, and wrapped between words."""
    page = Page(terminal_width(stream), stream.encoding or "")
    text = _in_color if stream.isatty() else _plain
    shown = "\n".join(text(finding, page) for finding in found[:MAX_FINDINGS])
    return shown + (f"\n... and {len(found) - MAX_FINDINGS} more\n" if len(found) > MAX_FINDINGS else "")


def _plain(finding: Diagnostic, page: Page) -> str:
    return f"{plain(finding, page)}\n"


def _in_color(finding: Diagnostic, page: Page) -> str:
    from rich.console import Console  # slow to import, and not needed for a pipe
    from rich.text import Text

    out = StringIO()
    console = Console(file=out, force_terminal=True, highlight=False, soft_wrap=True, emoji=False)
    for line in lines(finding, page):
        text = Text()
        for segment in line:
            style = MARKS[finding.severity] if segment.role == "mark" else STYLES.get(segment.role, "")
            text.append(segment.text, style)
        console.print(text)
    return out.getvalue()
