"""What is wrong with a topology, where, and how to mend it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from poolctl.errors import PoolctlError

CODES = {
    "PC101": "not valid YAML",
    "PC102": "not readable as text: not UTF-8, or a control character",
    "PC103": "the file is too large",
    "PC104": "the same key twice in one mapping",
    "PC105": "a tag that topologies do not have",
    "PC106": "more than one document in the file",
    "PC107": "an alias that contains itself",
    "PC108": "too many values, or too deeply nested",
    "PC109": "a key that is not plain text, or a merge key",
    "PC110": "a --set that cannot be applied",
    "PC201": "a value of the wrong shape",
    "PC202": "a key is missing",
    "PC203": "an unknown key",
    "PC204": "a value that is not accepted",
    "PC205": "an unknown word",
    "PC206": "not an address",
    "PC207": "not available yet",
    "PC301": "does not fit together",
    "PC302": "the same address twice",
}


LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what YAML 1.1 parsers count as a line


@dataclass(frozen=True)
class Source:
    """A text that was read: the file, or one --set or --listen of the command line."""

    name: str
    text: str
    is_file: bool = True

    @cached_property
    def lines(self) -> list[str]:
        return LINE_BREAK.split(self.text)

    def line(self, number: int) -> str:
        """The 0-based line, empty past the end."""
        return self.lines[number] if number < len(self.lines) else ""

    def at(self, index: int) -> Place:
        """The place of one character."""
        before = LINE_BREAK.split(self.text[:index])
        line, column = len(before) - 1, len(before[-1])
        return Place(self, Span(line, column, line, column + 1))


@dataclass(frozen=True)
class Span:
    """A stretch of a source, 0-based; the end is exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True)
class Place:
    source: Source
    span: Span

    def __str__(self) -> str:
        if not self.source.is_file:
            return self.source.name
        return f"{self.source.name}:{self.span.line + 1}:{self.span.column + 1}"


@dataclass(frozen=True)
class Diagnostic:
    """One finding. The message stands alone: it can be understood without the lines around it."""

    code: str
    message: str
    place: Place
    help: str = ""
    related: tuple[Place, ...] = ()  # other lines that have a part in it, shown before the place itself

    def render(self) -> str:
        """For people: the message, the place, the line itself with carets below, and the mend."""
        shown = [*self.related, self.place]
        width = max(2, *(len(str(place.span.line + 1)) for place in shown))
        gutter = " " * width
        lines = [f"error[{self.code}]: {_printable(self.message)}", f"{gutter}--> {_printable(str(self.place))}"]
        lines.append(f"{gutter} |")
        for place in shown:
            lines += _excerpt(place, width)
        if self.help:
            lines.append(f"{gutter} = help: {_printable(self.help)}")
        return "\n".join(lines)


class Invalid(PoolctlError):
    """A topology that cannot be used, with all that is wrong with it, in the order of the file."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = sorted(diagnostics, key=_position)
        super().__init__("\n\n".join(each.render() for each in self.diagnostics))


class Unreadable(PoolctlError):
    """The file cannot be opened or read."""


def _position(diagnostic: Diagnostic) -> tuple[bool, int, int]:
    place = diagnostic.place
    return (not place.source.is_file, place.span.line, place.span.column)


def _excerpt(place: Place, width: int) -> list[str]:
    span = place.span
    text = place.source.line(span.line)
    end = span.end_column if span.end_line == span.line else len(text.rstrip())
    carets = "^" * max(1, min(end, len(text)) - span.column)
    # Tabs stay tabs, so that the carets stand below what they mean.
    lead = "".join("\t" if character == "\t" else " " for character in text[: span.column].ljust(span.column))
    return [
        f"{str(span.line + 1).rjust(width)} | {_printable(text.rstrip())}",
        f"{' ' * width} | {lead}{carets}",
    ]


def _printable(text: str) -> str:
    """Without control characters, which would reach the reader's terminal."""
    return "".join(character if character.isprintable() or character == "\t" else "\ufffd" for character in text)
