"""A finding for people: the message, the location, the lines themselves with carets below them, and the fix.

The layout is that of rustc and ruff. It is built of segments, each a text with its role, so that a pipe gets the texts
and a terminal gets colours by role.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from poolctl.config.diagnostic import Diagnostic, Place, SourceText, printable

WIDEST = 160  # columns of a source line; only the part around the span is shown of a longer one
NARROWEST = 20
BEFORE = 50  # columns that are kept before the span, or a third of the room where there is little
DOTS = "..."


class Segment(NamedTuple):
    """A piece of a line. ``role`` is the severity, or one of message, gutter, source, mark, label and help."""

    role: str
    text: str


class Page(NamedTuple):
    """The page that findings are written to.

    ``columns`` is the width of a terminal, at which sentences are wrapped; 0 does not wrap. ``encoding`` is that of the
    output: a character that it lacks is as wide as its escape.
    """

    columns: int = 0
    encoding: str = ""

    def room(self, width: int) -> int:
        """The columns for a source line after line numbers of this width."""
        room = self.columns - width - len(" | ") - 2 * len(DOTS)
        return max(NARROWEST, min(room, WIDEST)) if self.columns else WIDEST

    def blank(self, character: str) -> str:
        """White space as wide as a character. Tabs stay tabs, so that carets line up with what they mark."""
        if character == "\t":
            return "\t"
        shown = printable(character)
        if self.encoding and not shown.isascii():
            escaped = shown.encode(self.encoding, "backslashreplace").decode(self.encoding)
            if escaped != shown:
                return " " * len(escaped)
        if unicodedata.combining(character):
            return ""
        return "  " if unicodedata.east_asian_width(character) in "WF" else " "


PLAIN = Page()


class _Mark(NamedTuple):
    """A range that is marked in the source, with its label."""

    place: Place
    text: str
    primary: bool


def plain(diagnostic: Diagnostic, page: Page = PLAIN) -> str:
    """The finding without colours and without a final newline."""
    return "\n".join("".join(segment.text for segment in line) for line in lines(diagnostic, page))


def lines(diagnostic: Diagnostic, page: Page = PLAIN) -> Iterator[list[Segment]]:
    """The lines of a finding."""
    columns = page.columns
    code = f"[{diagnostic.code}]"
    label = Segment(diagnostic.severity, diagnostic.severity + code)
    yield from _wrapped([label], "message", f": {diagnostic.message}", columns, "  ")
    yield from _excerpts(diagnostic, page)
    pad = " " * _width(diagnostic)
    for role, word, text in (
        *(("message", "note", note) for note in diagnostic.notes),
        *((("help", "help", diagnostic.help),) if diagnostic.help else ()),
    ):
        before = [Segment("gutter", f"{pad} = "), Segment(role, word)]
        yield from _wrapped(before, "source", f": {text}", columns, " " * (len(pad) + len(" = help: ")))
    gutter = Segment("gutter", f"{pad} | ")
    for line in diagnostic.detail.splitlines():
        yield from _behind(gutter, "source", line, columns)


def _wrapped(before: list[Segment], role: str, text: str, columns: int, indent: str) -> Iterator[list[Segment]]:
    """A sentence after its label, wrapped to the columns; a longer word stays whole."""
    if not columns:
        yield [*before, Segment(role, text)]
        return
    used = sum(len(segment.text) for segment in before)
    first, *others = _between_words("x" * used + text, columns, indent)
    yield [*before, Segment(role, first[used:])]
    for other in others:
        yield [Segment(role, other)]


def _behind(gutter: Segment, role: str, text: str, columns: int) -> Iterator[list[Segment]]:
    """A line behind the gutter, wrapped to the columns, with continuation lines indented further."""
    room = columns - len(gutter.text)
    hang = " " * (len(text) - len(text.lstrip()) + 4)
    parts = _between_words(text, room, hang) if columns and len(text) > room else [text]
    yield from ([gutter, Segment(role, part)] for part in parts)


def _between_words(text: str, columns: int, indent: str) -> list[str]:
    import textwrap  # only for terminals

    return textwrap.wrap(
        text,
        max(columns, NARROWEST),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )


def _excerpts(diagnostic: Diagnostic, page: Page) -> Iterator[list[Segment]]:
    """The marked lines, source by source, that of the finding itself first."""
    marks = [_Mark(diagnostic.place, "", True)]
    marks += [_Mark(label.place, label.text, False) for label in diagnostic.related]
    width = _width(diagnostic)
    sources: list[SourceText] = []
    for mark in marks:
        if mark.place.source not in sources:
            sources.append(mark.place.source)
    for source in sources:
        here = [mark for mark in marks if mark.place.source is source]
        if not source.text and diagnostic.code == "PC100":
            continue  # the message gives the name, and there is nothing to show
        arrow = "-->" if source is diagnostic.place.source else ":::"
        yield [Segment("gutter", f"{' ' * width}{arrow} "), Segment("source", printable(str(here[0].place)))]
        if source.text:
            yield [Segment("gutter", f"{' ' * width} |")]
            yield from _marked(source, here, width, page)


def _marked(source: SourceText, marks: list[_Mark], width: int, page: Page) -> Iterator[list[Segment]]:
    widest = page.room(width)
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
        broad = max((len(page.blank(each)) for each in shown), default=1)
        if broad > 1:
            offset, shown = _window(text, first, widest // broad)
        yield [Segment("gutter", f"{str(number + 1).rjust(width)} | "), Segment("source", printable(shown))]
        for mark in in_line:
            last_shown = offset + len(shown) - (len(DOTS) if offset else 0)
            yield from _carets(mark, text, offset, last_shown, width, page)


def _column(mark: _Mark) -> int:
    return mark.place.span.column


def _carets(mark: _Mark, text: str, offset: int, last: int, width: int, page: Page) -> Iterator[list[Segment]]:
    span = mark.place.span
    end = span.end_column if span.end_line == span.line else len(text)
    end = min(end, len(text), last)
    lead = "".join(map(page.blank, text[offset : span.column].ljust(span.column - offset)))
    if offset:
        lead = f"{' ' * len(DOTS)}{lead}"  # below the dots for what was cut off
    sign = "^" if mark.primary else "-"
    stroke = sign * max(1, sum(len(page.blank(character)) for character in text[span.column : end]))
    role = "mark" if mark.primary else "label"
    note = printable(mark.text)
    gutter = Segment("gutter", f"{' ' * width} | ")
    inline = [gutter, Segment("source", lead), Segment(role, f"{stroke} {note}" if note else stroke)]
    if not page.columns or not note or sum(len(each.text) for each in inline) <= page.columns:
        yield inline
        return
    yield [gutter, Segment("source", lead), Segment(role, stroke)]
    yield from _behind(gutter, role, note, page.columns)


def _window(text: str, column: int, widest: int) -> tuple[int, str]:
    """The column at which the visible part of a line begins, and that part."""
    if len(text) <= widest:
        return 0, text
    offset = max(0, column - min(BEFORE, widest // 3))
    tail = DOTS if offset + widest < len(text) else ""
    return offset, f"{DOTS if offset else ''}{text[offset : offset + widest]}{tail}"


def _width(diagnostic: Diagnostic) -> int:
    places = [diagnostic.place, *(label.place for label in diagnostic.related)]
    return max(2, *(len(str(place.span.line + 1)) for place in places))
