"""For people: each finding with the lines it is about. Colours on a terminal, and none where NO_COLOR is set."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import StringIO
from typing import TextIO

from poolctl.cli.formats import Report, counted
from poolctl.cli.output import columns, say
from poolctl.config.diagnostic import Diagnostic, printable
from poolctl.config.human import Page, lines, plain

MOST = 50  # findings of a file that are shown; whoever has more corrects these first
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


def show(reports: Sequence[Report]) -> None:
    """Each report, and below several of them their sum."""
    for number, report in enumerate(reports):
        if number:
            say()
        findings(report.findings, sys.stdout)
        if report.findings:
            say()
        described = report.described if report.valid else ()
        say("\n  ".join([f"{printable(report.file)}: {verdict(report)}", *described]))
    if len(reports) > 1:
        say(f"\n{len(reports)} files: {counted(reports) or 'all valid'}")


def verdict(report: Report) -> str:
    """The words after the name of the file."""
    found = counted([report])
    if report.count("error"):
        return found
    if not report.valid:
        return f"{found}, and --strict counts warnings as errors"
    return f"valid, {found}" if found else "valid"


def findings(found: Sequence[Diagnostic], stream: TextIO) -> None:
    """Findings with an empty line between them."""
    stream.write(written(found, stream))


def written(found: Sequence[Diagnostic], stream: TextIO) -> str:
    """Findings as this stream takes them: in a terminal with colours, and wrapped between words."""
    page = Page(columns(stream), stream.encoding or "")
    text = _in_colours if stream.isatty() else _plain
    shown = "\n".join(text(finding, page) for finding in found[:MOST])
    return shown + (f"\n... and {len(found) - MOST} more\n" if len(found) > MOST else "")


def _plain(finding: Diagnostic, page: Page) -> str:
    return f"{plain(finding, page)}\n"


def _in_colours(finding: Diagnostic, page: Page) -> str:
    from rich.console import Console  # slow to import, and a pipe needs none
    from rich.text import Text

    out = StringIO()
    console = Console(file=out, force_terminal=True, highlight=False, soft_wrap=True)
    for line in lines(finding, page):
        text = Text()
        for segment in line:
            style = MARKS[finding.severity] if segment.role == "mark" else STYLES.get(segment.role, "")
            text.append(segment.text, style)
        console.print(text)
    return out.getvalue()
