"""What is wrong with a topology, where, and how to fix it."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from poolctl.errors import PoolctlError

Severity = Literal["error", "warning", "note"]

LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what YAML 1.1 parsers count as a line
MOST = 100  # findings of one kind that are shown; a file with more is the wrong one, or is corrected step by step
LONGEST = 500  # characters of a message or a help: they quote what a file says, and that may be anything


class Source:
    """A text that was read: a file, or one --set or --listen of the command line."""

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
        if self._lines is None:
            self._lines = LINE_BREAK.split(self.text)
        return self._lines

    def line(self, number: int) -> str:
        """The 0-based line, empty past the end."""
        return self.lines[number] if number < len(self.lines) else ""

    def at(self, index: int, length: int = 1) -> Place:
        """The place of so many characters of one line."""
        if self._starts is None:
            self._starts = [0, *(found.end() for found in LINE_BREAK.finditer(self.text))]
        line = bisect_right(self._starts, index) - 1
        column = index - self._starts[line]
        return Place(self, Span(line, column, line, column + length))


class Span(NamedTuple):
    """A stretch of a source, 0-based; the end is exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int


class Place(NamedTuple):
    source: Source
    span: Span

    def __str__(self) -> str:
        if not self.source.is_file:
            return self.source.name
        return f"{self.source.name}:{self.span.line + 1}:{self.span.column + 1}"


class Label(NamedTuple):
    """A second place that has a part in a finding, and what it has to do with it."""

    place: Place
    text: str


@dataclass(frozen=True)
class Diagnostic:
    """One finding. The message stands alone: it can be understood without the lines around it."""

    code: str
    message: str
    place: Place
    help: str = ""  # how to fix it
    related: tuple[Label, ...] = ()
    severity: Severity = "error"
    notes: tuple[str, ...] = ()  # what else one should know, a sentence each
    detail: str = ""  # lines that are not poolctl's, a traceback for instance

    def __post_init__(self) -> None:
        for field in ("message", "help"):
            object.__setattr__(self, field, printable(_shortened(getattr(self, field))))
        object.__setattr__(self, "notes", tuple(printable(_shortened(note)) for note in self.notes))
        object.__setattr__(self, "detail", "\n".join(map(printable, self.detail.splitlines())))

    def render(self) -> str:
        """For people, without colours."""
        from poolctl.config.human import plain  # only findings need it

        return plain(self)

    @property
    def concise(self) -> str:
        """In one line."""
        fix = f" ({self.help})" if self.help else ""
        return f"{printable(str(self.place))}: {self.severity}[{self.code}]: {self.message}{fix}"


class Invalid(PoolctlError):
    """A topology that cannot be used, with all that is wrong with it, in the order of the file."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = in_order(diagnostics)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        return "\n\n".join(each.render() for each in self.diagnostics)


class Unreadable(Invalid):
    """The file cannot be opened or read."""


def in_order(diagnostics: Iterable[Diagnostic], sources: Iterable[str] = ()) -> list[Diagnostic]:
    """By place: one file after the other, then the options of the command line. ``sources``: their names in the order
    in which they were read; otherwise as the findings have them."""
    found = list(diagnostics)
    names = dict.fromkeys([*sources, *(each.place.source.name for each in found)])
    rank = {name: number for number, name in enumerate(names)}

    def position(diagnostic: Diagnostic) -> tuple[bool, int, int, int]:
        source, span = diagnostic.place
        return (not source.is_file, rank[source.name], span.line, span.column)

    return sorted(found, key=position)


def number_of(count: int, one: str, several: str = "") -> str:
    """A number with its noun: 1 error, 2 errors."""
    return f"{count} {one if count == 1 else several or f'{one}s'}"


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def printable(text: str) -> str:
    """Without control characters, which would reach the reader's terminal."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() or character == "\t" else "\ufffd" for character in text)
