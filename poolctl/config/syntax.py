"""Syntax errors in the words of the reader, with a fix.

The parser says what it expected next, often far from where the mistake was made. The table recognises the usual
mistakes by the parser's messages; any other message is passed on as it is. The file is long because it is a table with
an entry for each mistake.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import yaml
from yaml.error import Mark

from poolctl.config.diagnostic import Diagnostic, Label, Place, SourceText, Span


class Mistake(NamedTuple):
    """A mistake that is recognised by patterns.

    ``problem`` and ``context`` are patterns for the parser's message. ``message`` and ``help`` may use their groups,
    and those of ``line``, ``first`` and ``above``.
    """

    problem: str
    context: str
    message: str
    help: str
    at_start: bool = False  # the mistake is where the context begins
    label: str = ""  # for the other of the two locations
    wants: str = ""  # must match in the line before the location
    line: str = ""  # must match in the whole line
    first: str = ""  # must match in the first line that is not empty
    above: str = ""  # must match in the line above, which becomes the location
    covers: str = ""  # the part of the line around the location that is marked; empty: one character


OWNERS = (
    "app|protocol|pool|ownership|dispatch|affinity|listen|tls|clients"
    "|limits|timeouts|access_log|forwarded|environment|recycle|scale|reload"
)  # keys whose values are mappings
NO_SPACE = r"^\s*(?:- )?(?P<key>[A-Za-z_][\w-]*):(?P<value>[^\s/][^:]*|[^\s/].*)$"
MISTAKES = (
    Mistake(
        "but got '{'",
        "",
        '"${{" needs quotes inside brackets',
        'put a string in quotes, "${{NAME}}"; for a number, write the mapping with one key per line',
        wants=r"\$\Z",
        covers=r"\$\{[^}]*\}?",
    ),
    Mistake(
        "mapping values are not allowed here|could not find expected ':'",
        "",
        'missing space after the colon in "{key}:{value}"',
        'write "{key}: {value}"',
        above=NO_SPACE,
        covers=r"[\w-]+:\S*",
    ),
    Mistake(
        "could not find expected ':'",
        "simple key",
        'missing space after the colon in "{key}:{value}"',
        'write "{key}: {value}"',
        at_start=True,
        line=NO_SPACE,
        covers=r"[\w-]+:\S*",
    ),
    Mistake(
        "mapping values are not allowed here",
        "",
        "missing space after the dash",
        "put a space after the dash of each list item",
        above=r"^\s*-[^\s-]",
    ),
    Mistake(
        "mapping values are not allowed here",
        "",
        '"=" instead of a colon',
        'write "{key}: {value}"',
        above=r"^\s*(?P<key>[A-Za-z_][\w-]*)\s*=\s*(?P<value>\S.*)$",
        covers=r"[\w-]+\s*=",
    ),
    Mistake(
        "mapping values are not allowed here",
        "",
        "this line is indented, but the one above already has a value",
        "indent it like the other keys of its mapping",
        wants=r"\A\s+[\w.-]+\Z",
        covers=r"[\w.-]+:",
    ),
    Mistake(
        "mapping values are not allowed here",
        "",
        "a mapping on one line needs braces",
        "write {key}: {{{value}}}",
        line=rf"^\s*(?:- )?(?P<key>{OWNERS}):\s+(?P<value>[A-Za-z_][\w-]*: [^'\"#]{{1,60}}?)\s*$",
    ),
    Mistake(
        r"found character '\\t'",
        "",
        "a tab is not allowed here",
        "indent with spaces: YAML does not allow tabs there",
        wants=r"\A\s*\Z",
    ),
    Mistake(r"found character '\\t'", "", "a tab is not allowed here", "write a space instead"),
    Mistake(
        "found character '%' that cannot start",
        "",
        'a value cannot begin with "%"',
        "write ${{{name}}} for the environment variable",
        line=r"%(?P<name>[A-Za-z_]\w*)%",
        covers=r"%\w+%",
    ),
    Mistake(
        "found character '(?P<what>.*)' that cannot start",
        "",
        'a value cannot begin with "{what}"',
        "put the value in quotes",
    ),
    Mistake(
        "mapping values are not allowed here",
        "",
        '":" is not allowed here',
        'put the value in quotes if the ":" is part of it, or start a new line for the next key',
    ),
    Mistake(
        "could not find expected ':'",
        "simple key",
        "missing space after the dash",
        "put a space after the dash of each list item",
        at_start=True,
        line=r"^\s*-[^\s-]",
    ),
    Mistake(
        "could not find expected ':'",
        "simple key",
        'missing ":" after a key',
        'write "key: value", with a space after the colon',
        at_start=True,
    ),
    Mistake(
        "but found '<block mapping start>'|but found '<block sequence start>'|but found '<scalar>'",
        "block (?P<what>mapping|collection)",
        "this line is not indented like the rest of its block",
        "indent all keys of a mapping, and all items of a list, by the same number of spaces",
        label="the block begins here",
    ),
    Mistake(
        "but found '(-|\\?)'|sequence entries are not allowed",
        "",
        'a list item ("-") is not allowed here',
        "start the list on a line of its own, below its key",
    ),
    Mistake(
        "unexpected end of stream",
        "quoted scalar",
        "the quote that opens here is not closed",
        "close it",
        at_start=True,
    ),
    Mistake(
        "but got '(<stream end>|<document end>|<block end>)'|but found '(<stream end>|<block end>)'",
        "flow (?P<what>mapping|sequence|node)",
        "the bracket that opens here is not closed",
        "close it",
        at_start=True,
    ),
    Mistake(
        "expected ',' or '(?P<what>[]}])', but got",
        "",
        '";" does not separate entries',
        "write a comma instead",
        line=r"[{\[][^}\]]*;",
        covers=";",
    ),
    Mistake(
        "expected ',' or '(?P<what>[]}])', but got '(?P<got>.*)'",
        "",
        'expected "," or "{what}" here',
        'close the bracket with "{what}", or separate its entries with commas; put strings with brackets in quotes',
        label="the bracket opens here",
    ),
    Mistake(
        "expected the node content, but found ':'",
        "flow node",
        "an address with brackets needs quotes",
        'write "{address}"',
        line=r"(?P<address>(?:tcp://)?\[[0-9a-fA-F:.]*:[0-9a-fA-F:.]*\]:\d+)",
    ),
    Mistake(
        "found undefined alias '(?P<what>.*)'",
        "",
        'the alias "*{what}" has no anchor',
        "define the anchor &{what} before its aliases; put a string that begins with * in quotes",
        covers=r"\*[\w-]+",
    ),
    Mistake(
        "second occurrence",
        "duplicate anchor '(?P<what>.*)'",
        'duplicate anchor "&{what}"',
        "rename one of the two",
        label="first given here",
    ),
    Mistake(
        "found unknown escape character '(?P<what>.*)'",
        "",
        'unknown escape "\\{what}" in double quotes',
        'use single quotes, or write the backslash twice, "\\\\{what}"',
    ),
    Mistake(
        "expected escape sequence of (?P<what>\\d+) hex",
        "",
        "this escape needs {what} hexadecimal digits",
        "use single quotes, or write the backslash twice",
    ),
    Mistake(
        "undefined tag handle|found.*tag|did not find.*tag",
        "",
        "tags are not allowed in a topology",
        "remove the tag; put a string that begins with ! in quotes",
    ),
    Mistake(
        "expected '<document start>', but found '<(block mapping start|scalar|block sequence start)>'",
        "",
        "this line is indented less than the first one",
        "start all keys of the topology in the same column",
        first=r"\A\s",
    ),
    Mistake(
        "directive|YAML document|expected '<document start>'",
        "",
        "the document ended above",
        'remove "..." and lines that begin with "%"; put a string that begins like that in quotes',
    ),
    Mistake(
        "chomping or indentation|comment or a line break",
        "block scalar",
        "a block scalar cannot have text on its first line",
        "start the text on the next line, indented",
    ),
    Mistake(
        "alphabetic or numeric character",
        "alias",
        '"*" does not mean all addresses',
        "name the addresses of your proxies, for instance 10.0.0.0/8; 0.0.0.0/0 means everybody",
        at_start=True,
        line=r"\b(trust|proxy_protocol):\s*\[?\s*\*",
    ),
    Mistake(
        "alphabetic or numeric character",
        "alias",
        '"*" does not mean all addresses',
        "write tcp://0.0.0.0:{port}",
        at_start=True,
        line=r"\*:(?P<port>\d{1,5})\b",
    ),
    Mistake(
        "alphabetic or numeric character",
        "(?P<what>anchor|alias)",
        '"{sign}" does not begin a valid {what} here',
        "put the value in quotes",
        at_start=True,
    ),
)


def diagnosis(error: yaml.MarkedYAMLError, source: SourceText) -> Diagnostic:
    """The finding for an error of the parser."""
    here = error.problem_mark or error.context_mark
    assert here is not None  # the scanner, the parser and the composer always give one of them
    began = error.context_mark or here
    problem, context = error.problem or "", error.context or ""
    for mistake in MISTAKES:
        inside = re.search(mistake.problem, problem)
        around = re.search(mistake.context, context)
        if inside is None or around is None:
            continue
        place = began if mistake.at_start else here
        words = _in_lines(mistake, source, place.line, here)
        if words is None:
            continue
        words |= around.groupdict() | inside.groupdict()
        words["sign"] = "*" if words.get("what") == "alias" else "&"
        where = _line_above(source, place.line, mistake.covers) if mistake.above else None
        related: tuple[Label, ...] = ()
        if mistake.label and (began.line, began.column) != (here.line, here.column):
            related = (Label(_place(source, began), mistake.label),)
        message, help_ = mistake.message.format_map(words), mistake.help.format_map(words)
        return Diagnostic("PC101", message, where or _place(source, place, mistake.covers), help_, related)
    note = f" (started on line {began.line + 1})" if began.line != here.line else ""
    message = f"not valid YAML: {problem or 'it cannot be read'} {context}".rstrip() + note
    help_ = "check the brackets, quotes and spaces on this line and on the one above"
    return Diagnostic("PC101", message, _place(source, here), help_)


MAX_LINE = 1000  # characters of a line that are searched for a mistake


def _in_lines(mistake: Mistake, source: SourceText, number: int, here: Mark) -> dict[str, Any] | None:
    """The groups of the patterns for lines; None where the lines do not match the mistake."""
    line = source.line(number)
    if not re.search(mistake.wants, source.line(here.line)[: here.column]):
        return None
    words: dict[str, Any] = {}
    above = source.line(number - 1) if number else ""
    first = next((each for each in source.lines if each.strip()), "")
    for pattern, text in ((mistake.line, line), (mistake.first, first), (mistake.above, above)):
        found = re.search(pattern, text[:MAX_LINE].rstrip()) if pattern else None
        if pattern and found is None:
            return None
        words |= found.groupdict() if found else {}
    return words


def _line_above(source: SourceText, number: int, covers: str) -> Place:
    line = source.line(number - 1)
    found = re.search(covers, line) if covers else None
    start, end = found.span() if found else (len(line) - len(line.lstrip()), len(line.rstrip()))
    return Place(source, Span(number - 1, start, number - 1, end))


def _place(source: SourceText, mark: Mark, covers: str = "") -> Place:
    """The location of a mark: the text around it that matches ``covers``, or one character, the last one of the file
    where the mark is past its end."""
    line, column = mark.line, mark.column
    while line > 0 and not source.line(line).strip() and mark.line >= len(source.lines) - 1:
        line -= 1
        column = max(0, len(source.line(line).rstrip()) - 1)
    for found in re.finditer(covers, source.line(line)) if covers else ():
        if found.start() <= column < found.end():
            return Place(source, Span(line, found.start(), line, found.end()))
    return Place(source, Span(line, column, line, column + 1))
