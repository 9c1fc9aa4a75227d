"""A finding as people read it: the message, the place, the lines themselves with carets below, and the fix.

The form is that of rustc and ruff. It is made as segments, a text and the role that it has, so that a pipe gets the
texts and a terminal gets colours by the roles.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from poolctl.config.diagnostic import Diagnostic, Place, Source, printable

WIDEST = 160  # columns of a source line; of a longer one the part around the span is shown
NARROWEST = 20
BEFORE = 50  # columns of it that stay before the span, a third where there is little room
DOTS = "..."


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


def lines(diagnostic: Diagnostic, columns: int = 0) -> Iterator[list[Segment]]:
    """The lines of a finding. ``columns``: of the terminal, at which sentences are wrapped between words, and in which
    carets stay below what they mean; 0: none."""
    code = f"[{diagnostic.code}]"
    label = Segment(diagnostic.severity, diagnostic.severity + code)
    yield from _wrapped([label], "message", f": {diagnostic.message}", columns, "  ")
    room = columns - _width(diagnostic) - len(" | ") - 2 * len(DOTS)
    yield from _excerpts(diagnostic, max(NARROWEST, min(room, WIDEST)) if columns else WIDEST)
    pad = " " * _width(diagnostic)
    for role, word, text in (
        *(("message", "note", note) for note in diagnostic.notes),
        *((("help", "help", diagnostic.help),) if diagnostic.help else ()),
    ):
        before = [Segment("gutter", f"{pad} = "), Segment(role, word)]
        yield from _wrapped(before, "source", f": {text}", columns, " " * (len(pad) + len(" = help: ")))
    for line in diagnostic.detail.splitlines():
        yield [Segment("gutter", f"{pad} | "), Segment("source", line)]


def _wrapped(before: list[Segment], role: str, text: str, columns: int, indent: str) -> Iterator[list[Segment]]:
    """A sentence behind its label, in lines that a terminal need not break; a word that is longer stays whole."""
    if not columns:
        yield [*before, Segment(role, text)]
        return
    import textwrap  # only for terminals

    used = sum(len(segment.text) for segment in before)
    first, *others = textwrap.wrap(
        "x" * used + text,
        max(columns, NARROWEST),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
    yield [*before, Segment(role, first[used:])]
    for other in others:
        yield [Segment(role, other)]


def _excerpts(diagnostic: Diagnostic, widest: int) -> Iterator[list[Segment]]:
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
            yield from _marked(source, here, width, widest)


def _marked(source: Source, marks: list[_Mark], width: int, widest: int) -> Iterator[list[Segment]]:
    numbers = sorted({mark.place.span.line for mark in marks})
    last = None
    for number in numbers:
        if last is not None and number > last + 1:
            yield [Segment("gutter", "...")]
        last = number
        in_line = sorted((each for each in marks if each.place.span.line == number), key=_column)
        text = source.line(number).rstrip()
        first = min(mark.place.span.column for mark in in_line)
        offset, shown = _window(text, first, widest)
        if any(map(_is_wide, shown)):
            offset, shown = _window(text, first, widest // 2)
        yield [Segment("gutter", f"{str(number + 1).rjust(width)} | "), Segment("source", printable(shown))]
        for mark in in_line:
            yield _carets(mark, text, offset, offset + len(shown) - (len(DOTS) if offset else 0), width)


def _column(mark: _Mark) -> int:
    return mark.place.span.column


def _carets(mark: _Mark, text: str, offset: int, last: int, width: int) -> list[Segment]:
    span = mark.place.span
    end = span.end_column if span.end_line == span.line else len(text)
    end = min(end, len(text), last)
    lead = "".join(map(_blank, text[offset : span.column].ljust(span.column - offset)))
    if offset:
        lead = f"{' ' * len(DOTS)}{lead}"  # below the dots that stand for what is left out
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
    return "  " if _is_wide(character) else " "


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def _window(text: str, column: int, widest: int) -> tuple[int, str]:
    """The part of a line that is shown, and the column that it begins at."""
    if len(text) <= widest:
        return 0, text
    offset = max(0, column - min(BEFORE, widest // 3))
    tail = DOTS if offset + widest < len(text) else ""
    return offset, f"{DOTS if offset else ''}{text[offset : offset + widest]}{tail}"


def _width(diagnostic: Diagnostic) -> int:
    places = [diagnostic.place, *(label.place for label in diagnostic.related)]
    return max(2, *(len(str(place.span.line + 1)) for place in places))
