"""Findings: what is wrong with a topology, where, and how to fix it."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from poolctl.errors import PoolctlError

Severity = Literal["error", "warning", "note"]

LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what YAML 1.1 parsers count as a line
MAX_FINDINGS = 100  # of one kind; a file with more is the wrong file, or is fixed step by step
MAX_TEXT = 500  # characters of a message or a help, which quote the file


class SourceText:
    """A text that was read: a file, or one --set or --listen option of the command line."""

    def __init__(self, name: str, text: str, is_file: bool = True) -> None:
        self.name = name
        self.text = text
        self.is_file = is_file
        self._lines: list[str] | None = None
        self._starts: list[int] | None = None  # of each line, as an index into the text

    def __repr__(self) -> str:
        return f"Source({self.name!r})"

    @property
    def lines(self) -> list[str]:
        """The lines without their ends."""
        if self._lines is None:
            self._lines = LINE_BREAK.split(self.text)
        return self._lines

    def line(self, number: int) -> str:
        """The line of this 0-based number; empty past the end."""
        return self.lines[number] if number < len(self.lines) else ""

    def at(self, index: int, length: int = 1) -> Place:
        """The location of ``length`` characters on one line, starting at an index into the text."""
        if self._starts is None:
            self._starts = [0, *(found.end() for found in LINE_BREAK.finditer(self.text))]
        line = bisect_right(self._starts, index) - 1
        column = index - self._starts[line]
        return Place(self, Span(line, column, line, column + length))


class Span(NamedTuple):
    """A range of a source: 0-based, with an exclusive end."""

    line: int
    column: int
    end_line: int
    end_column: int


class Place(NamedTuple):
    """A location: a range of a source, shown as FILE:LINE:COLUMN."""

    source: SourceText
    span: Span

    def __str__(self) -> str:
        if not self.source.is_file:
            return self.source.name
        return f"{self.source.name}:{self.span.line + 1}:{self.span.column + 1}"


class Label(NamedTuple):
    """Another location that is involved in a finding, and how."""

    place: Place
    text: str


@dataclass(frozen=True)
class Diagnostic:
    """One finding. The message can be understood on its own, without the lines around it."""

    code: str
    message: str
    place: Place
    help: str = ""  # how to fix it
    related: tuple[Label, ...] = ()
    severity: Severity = "error"
    notes: tuple[str, ...] = ()  # further facts, a sentence each
    detail: str = ""  # lines that are not poolctl's own, such as a traceback

    def __post_init__(self) -> None:
        for field in ("message", "help"):
            object.__setattr__(self, field, printable(_shortened(getattr(self, field))))
        object.__setattr__(self, "notes", tuple(printable(_shortened(note)) for note in self.notes))
        object.__setattr__(self, "detail", "\n".join(map(printable, self.detail.splitlines())))

    def render(self) -> str:
        """The finding for people, without colours."""
        from poolctl.config.human import plain  # only findings need it

        return plain(self)

    @property
    def concise(self) -> str:
        """The finding on one line."""
        fix = f" ({self.help})" if self.help else ""
        return f"{printable(str(self.place))}: {self.severity}[{self.code}]: {self.message}{fix}"


class Invalid(PoolctlError):
    """A topology that cannot be used, with everything that is wrong with it in the order of the file."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = in_order(diagnostics)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        return "\n\n".join(each.render() for each in self.diagnostics)


class Unreadable(Invalid):
    """The file cannot be opened or read."""


def in_order(diagnostics: Iterable[Diagnostic], sources: Iterable[str] = ()) -> list[Diagnostic]:
    """The findings sorted by location: file by file, then the options of the command line.

    ``sources`` are the names of the files in the order in which they were read; other files follow in the order of the
    findings.
    """
    found = list(diagnostics)
    names = dict.fromkeys([*sources, *(each.place.source.name for each in found)])
    rank = {name: number for number, name in enumerate(names)}

    def position(diagnostic: Diagnostic) -> tuple[bool, int, int, int]:
        source, span = diagnostic.place
        return (not source.is_file, rank[source.name], span.line, span.column)

    return sorted(found, key=position)


def number_of(count: int, one: str, several: str = "") -> str:
    """The number with its noun, as in "1 error" or "2 errors"."""
    return f"{count} {one if count == 1 else several or f'{one}s'}"


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}..."


def printable(text: str) -> str:
    """The text with U+FFFD in place of control characters, which would reach the reader's terminal."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() or character == "\t" else "\ufffd" for character in text)
