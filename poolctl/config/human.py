"""A finding as people read it: the message, the place, the lines themselves with carets below, and the mend.

The form is that of rustc and ruff. It is made as segments, a text and the role that it has, so that a pipe gets the
texts and a terminal gets colours by the roles.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from poolctl.config.diagnostic import Diagnostic, Place, Source, printable

WIDEST = 160  # columns of a source line; of a longer one the part around the span is shown
BEFORE = 50  # columns of it that stay before the span


class Segment(NamedTuple):
    """``role``: the severity, or message, gutter, source, mark, label, help."""

    role: str
    text: str


class _Mark(NamedTuple):
    """What is marked in one line."""

    place: Place
    text: str
    primary: bool


def plain(diagnostic: Diagnostic) -> str:
    """The lines of a finding, without the last one's end."""
    return "\n".join("".join(segment.text for segment in line) for line in lines(diagnostic))


def lines(diagnostic: Diagnostic) -> Iterator[list[Segment]]:
    """The lines of a finding."""
    code = f"[{diagnostic.code}]"
    yield [Segment(diagnostic.severity, diagnostic.severity + code), Segment("message", f": {diagnostic.message}")]
    yield from _excerpts(diagnostic)
    pad = " " * _width(diagnostic)
    for note in diagnostic.notes:
        yield [Segment("gutter", f"{pad} = "), Segment("message", "note"), Segment("source", f": {note}")]
    if diagnostic.help:
        yield [Segment("gutter", f"{pad} = "), Segment("help", "help"), Segment("source", f": {diagnostic.help}")]
    for line in diagnostic.detail.splitlines():
        yield [Segment("gutter", f"{pad} | "), Segment("source", line)]


def _excerpts(diagnostic: Diagnostic) -> Iterator[list[Segment]]:
    """The marked lines, one source after the other, that of the finding itself first."""
    marks = [_Mark(diagnostic.place, "", True)]
    marks += [_Mark(label.place, label.text, False) for label in diagnostic.related]
    width = _width(diagnostic)
    sources: list[Source] = []
    for mark in marks:
        if mark.place.source not in sources:
            sources.append(mark.place.source)
    for source in sources:
        here = [mark for mark in marks if mark.place.source is source]
        if not source.text and diagnostic.code == "PC100":
            continue  # the message has the name, and there is nothing to show
        arrow = "-->" if source is diagnostic.place.source else ":::"
        yield [Segment("gutter", f"{' ' * width}{arrow} "), Segment("source", printable(str(here[0].place)))]
        if source.text:
            yield [Segment("gutter", f"{' ' * width} |")]
            yield from _marked(source, here, width)


def _marked(source: Source, marks: list[_Mark], width: int) -> Iterator[list[Segment]]:
    numbers = sorted({mark.place.span.line for mark in marks})
    last = None
    for number in numbers:
        if last is not None and number > last + 1:
            yield [Segment("gutter", "...")]
        last = number
        in_line = sorted((each for each in marks if each.place.span.line == number), key=_column)
        text = source.line(number).rstrip()
        offset, shown = _window(text, min(mark.place.span.column for mark in in_line))
        yield [Segment("gutter", f"{str(number + 1).rjust(width)} | "), Segment("source", printable(shown))]
        for mark in in_line:
            yield _carets(mark, text, offset, width)


def _column(mark: _Mark) -> int:
    return mark.place.span.column


def _carets(mark: _Mark, text: str, offset: int, width: int) -> list[Segment]:
    span = mark.place.span
    end = span.end_column if span.end_line == span.line else len(text)
    end = min(end, len(text), offset + WIDEST)
    lead = "".join(map(_blank, text[offset : span.column].ljust(span.column - offset)))
    if offset:
        lead = f"   {lead}"  # below the dots that stand for what is left out
    sign = "^" if mark.primary else "-"
    stroke = sign * max(1, sum(len(_blank(character)) for character in text[span.column : end]))
    role = "mark" if mark.primary else "label"
    note = f" {printable(mark.text)}" if mark.text else ""
    return [Segment("gutter", f"{' ' * width} | "), Segment("source", lead), Segment(role, stroke + note)]


def _blank(character: str) -> str:
    """What is as wide as a character. Tabs stay tabs, so that carets stand below what they mean."""
    if character == "\t":
        return "\t"
    if unicodedata.combining(character):
        return ""
    return "  " if unicodedata.east_asian_width(character) in "WF" else " "


def _window(text: str, column: int) -> tuple[int, str]:
    """The part of a line that is shown, and the column that it begins at."""
    if len(text) <= WIDEST:
        return 0, text
    offset = max(0, column - BEFORE)
    tail = "..." if offset + WIDEST < len(text) else ""
    return offset, f"{'...' if offset else ''}{text[offset : offset + WIDEST]}{tail}"


def _width(diagnostic: Diagnostic) -> int:
    places = [diagnostic.place, *(label.place for label in diagnostic.related)]
    return max(2, *(len(str(place.span.line + 1)) for place in places))
