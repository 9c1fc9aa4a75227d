"""For people: each finding with the lines it is about. Colours on a terminal, and none where NO_COLOR is set."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TextIO

import typer

from poolctl.cli.formats import Report, counted
from poolctl.config.diagnostic import Diagnostic, printable

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
            typer.echo()
        findings(report.findings, sys.stdout)
        if report.findings:
            typer.echo()
        described = report.described if report.valid else ()
        typer.echo("\n  ".join([f"{printable(report.file)}: {verdict(report)}", *described]))
    if len(reports) > 1:
        typer.echo(f"\n{len(reports)} files: {counted(reports) or 'all valid'}")


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
    show_one = _in_colours(stream) if stream.isatty() else _plain(stream)
    for number, finding in enumerate(found[:MOST]):
        if number:
            stream.write("\n")
        show_one(finding)
    if len(found) > MOST:
        stream.write(f"\n... and {len(found) - MOST} more\n")


def _plain(stream: TextIO) -> Callable[[Diagnostic], None]:
    def show_one(finding: Diagnostic) -> None:
        stream.write(finding.render() + "\n")

    return show_one


def _in_colours(stream: TextIO) -> Callable[[Diagnostic], None]:
    from rich.console import Console  # slow to import, and a pipe needs none
    from rich.text import Text

    from poolctl.config.human import lines

    console = Console(file=stream, highlight=False, soft_wrap=True)

    def show_one(finding: Diagnostic) -> None:
        for line in lines(finding, console.width):
            text = Text()
            for segment in line:
                style = MARKS[finding.severity] if segment.role == "mark" else STYLES.get(segment.role, "")
                text.append(segment.text, style)
            console.print(text)

    return show_one
