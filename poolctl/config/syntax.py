"""What the YAML parser could not read, in words of its reader and with the mend.

The parser says what it expected next, often far from where the mistake was made. The table knows the usual mistakes by
the parser's sentences; what is not in it is passed on as the parser says it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import yaml
from yaml.error import Mark

from poolctl.config.diagnostic import Diagnostic, Label, Place, Source, Span


class Mistake(NamedTuple):
    """``problem`` and ``context`` are searched for in the parser's sentences; ``message`` may name their groups."""

    problem: str
    context: str
    message: str
    mend: str
    at_start: bool = False  # whether the mistake was made where the context begins
    label: str = ""  # what the other of the two places is
    wants: str = ""  # what has to be found in the line before the place
    covers: str = ""  # what is marked in the line, of which the place is a part; otherwise one character


MISTAKES = (
    Mistake(
        "but got '{'",
        "",
        'a "${{" without quotes cannot stand between brackets',
        'put a text in quotes, "${{NAME}}"; for a number write the mapping with a line for each of its keys',
        wants=r"\$\Z",
        covers=r"\$\{[^}]*\}?",
    ),
    Mistake(
        "mapping values are not allowed here",
        "",
        "a key cannot stand here, for the line above has a value",
        "indent it like the keys of its mapping",
        wants=r"\A\s+[\w.-]+\Z",
        covers=r"[\w.-]+:",
    ),
    Mistake(r"found character '\\t'", "", "a tab cannot stand here", "indent with spaces, YAML allows no tabs there"),
    Mistake(
        "found character '(?P<what>.*)' that cannot start",
        "",
        'a value cannot begin with "{what}"',
        "put the value in quotes",
    ),
    Mistake(
        "mapping values are not allowed here",
        "",
        'a ":" cannot stand here',
        'put the value in quotes if the ":" belongs to it, or begin a new line with the next key',
    ),
    Mistake(
        "could not find expected ':'",
        "simple key",
        'a key without a ":"',
        'write "key: value", with a space after the colon',
        at_start=True,
    ),
    Mistake(
        "but found '<block mapping start>'|but found '<block sequence start>'|but found '<scalar>'",
        "block (?P<what>mapping|collection)",
        "this line is indented unlike those that it belongs to",
        "give all keys of a mapping, and all entries of a list, the same number of spaces",
        label="they begin here",
    ),
    Mistake(
        "but found '(-|\\?)'|sequence entries are not allowed",
        "",
        'an entry of a list ("-") cannot stand here',
        "a list begins in a line of its own, below its key",
    ),
    Mistake(
        "unexpected end of stream", "quoted scalar", "the quote that begins here has no end", "close it", at_start=True
    ),
    Mistake(
        "but got '(<stream end>|<document end>|<block end>)'|but found '(<stream end>|<block end>)'",
        "flow (?P<what>mapping|sequence|node)",
        "the bracket that opens here is not closed",
        "close it",
        at_start=True,
    ),
    Mistake(
        "expected ',' or '(?P<what>[]}])', but got '(?P<got>.*)'",
        "",
        'expected "," or "{what}" here',
        'close the bracket with "{what}", or separate its entries by commas; texts with brackets go in quotes',
        label="the bracket opens here",
    ),
    Mistake(
        "found undefined alias '(?P<what>.*)'",
        "",
        'the alias "*{what}" names no anchor',
        "an anchor, &{what}, stands before its aliases; a text that begins with * goes in quotes",
        covers=r"\*[\w-]+",
    ),
    Mistake(
        "second occurrence",
        "duplicate anchor '(?P<what>.*)'",
        'the anchor "&{what}" is there twice',
        "give one of the two another name",
        label="first given here",
    ),
    Mistake(
        "found unknown escape character '(?P<what>.*)'",
        "",
        'in double quotes "\\{what}" means nothing',
        'use single quotes, or write the backslash twice, "\\\\{what}"',
    ),
    Mistake(
        "expected escape sequence of (?P<what>\\d+) hex",
        "",
        "an escape that needs {what} hexadecimal digits",
        "use single quotes, or write the backslash twice",
    ),
    Mistake(
        "undefined tag handle|found.*tag|did not find.*tag", "", "not a tag", "topologies have no tags: leave it out"
    ),
    Mistake(
        "directive|YAML document|expected '<document start>'",
        "",
        "no document can begin here",
        'leave out lines that begin with "%"; a text that begins so goes in quotes',
    ),
    Mistake(
        "chomping or indentation|comment or a line break",
        "block scalar",
        "more than the sign of a block of text",
        "the text begins in the next line, indented",
    ),
    Mistake(
        "alphabetic or numeric character",
        "(?P<what>anchor|alias)",
        'a "{sign}" that begins no {what}',
        "put the value in quotes",
        at_start=True,
    ),
)


def diagnosis(error: yaml.MarkedYAMLError, source: Source) -> Diagnostic:
    """The finding that an error of the parser is."""
    here = error.problem_mark or error.context_mark
    assert here is not None  # the scanner, the parser and the composer give one of them, always
    began = error.context_mark or here
    problem, context = error.problem or "", error.context or ""
    for mistake in MISTAKES:
        inside = re.search(mistake.problem, problem)
        around = re.search(mistake.context, context)
        if inside and around and re.search(mistake.wants, source.line(here.line)[: here.column]):
            words = around.groupdict() | inside.groupdict()
            words["sign"] = "*" if words.get("what") == "alias" else "&"
            place = _place(source, began if mistake.at_start else here, mistake.covers)
            related: tuple[Label, ...] = ()
            if mistake.label and (began.line, began.column) != (here.line, here.column):
                related = (Label(_place(source, began), mistake.label),)
            return Diagnostic(
                "PC101", mistake.message.format_map(words), place, mistake.mend.format_map(words), related
            )
    note = f" (begun in line {began.line + 1})" if began.line != here.line else ""
    said = f"not valid YAML: {problem or 'it cannot be read'} {context}".rstrip() + note
    return Diagnostic("PC101", said, _place(source, here))


def _place(source: Source, mark: Mark, covers: str = "") -> Place:
    """What covers the mark, or one character; at the end of the file, the last one there is."""
    line, column = mark.line, mark.column
    while line > 0 and not source.line(line).strip() and mark.line >= len(source.lines) - 1:
        line -= 1
        column = max(0, len(source.line(line).rstrip()) - 1)
    for found in re.finditer(covers, source.line(line)) if covers else ():
        if found.start() <= column < found.end():
            return Place(source, Span(line, found.start(), line, found.end()))
    return Place(source, Span(line, column, line, column + 1))
