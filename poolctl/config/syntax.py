"""What the YAML parser could not read, in words of its reader and with the fix.

The parser says what it expected next, often far from where the mistake was made. The table knows the usual mistakes by
the parser's sentences; what is not in it is passed on as the parser says it.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import yaml
from yaml.error import Mark

from poolctl.config.diagnostic import Diagnostic, Label, Place, Source, Span


class Mistake(NamedTuple):
    """``problem`` and ``context`` are searched for in the parser's sentences; ``message`` and ``help`` may name their
    groups, and those of ``line`` and ``above``."""

    problem: str
    context: str
    message: str
    help: str
    at_start: bool = False  # whether the mistake was made where the context begins
    label: str = ""  # what the other of the two places is
    wants: str = ""  # what has to be found in the line before the place
    line: str = ""  # what has to be found in the whole line
    first: str = ""  # what has to be found in the first line that is not empty
    above: str = ""  # what has to be found in the line above, which is then the place
    covers: str = ""  # what is marked in the line, of which the place is a part; otherwise one character


OWNERS = (
    "app|protocol|pool|ownership|dispatch|affinity|listen|tls|clients"
    "|limits|timeouts|access_log|forwarded|environment"
)  # keys of mappings
NO_SPACE = r"^\s*(?:- )?(?P<key>[A-Za-z_][\w-]*):(?P<value>[^\s/][^:]*|[^\s/].*)$"
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
        "mapping values are not allowed here|could not find expected ':'",
        "",
        'no space after the colon of "{key}:{value}"',
        'write "{key}: {value}"',
        above=NO_SPACE,
        covers=r"[\w-]+:\S*",
    ),
    Mistake(
        "could not find expected ':'",
        "simple key",
        'no space after the colon of "{key}:{value}"',
        'write "{key}: {value}"',
        at_start=True,
        line=NO_SPACE,
        covers=r"[\w-]+:\S*",
    ),
    Mistake(
        "mapping values are not allowed here",
        "",
        "no space after the dash",
        "write a space after each dash that begins an entry of a list",
        above=r"^\s*-[^\s-]",
    ),
    Mistake(
        "mapping values are not allowed here",
        "",
        'an "=" instead of a colon',
        'write "{key}: {value}"',
        above=r"^\s*(?P<key>[A-Za-z_][\w-]*)\s*=\s*(?P<value>\S.*)$",
        covers=r"[\w-]+\s*=",
    ),
    Mistake(
        "mapping values are not allowed here",
        "",
        "this line is indented, and the one above already has a value",
        "indent it like the other keys of its mapping",
        wants=r"\A\s+[\w.-]+\Z",
        covers=r"[\w.-]+:",
    ),
    Mistake(
        "mapping values are not allowed here",
        "",
        "a mapping in one line needs braces",
        "write {key}: {{{value}}}",
        line=rf"^\s*(?:- )?(?P<key>{OWNERS}):\s+(?P<value>[A-Za-z_][\w-]*: [^'\"#]{{1,60}}?)\s*$",
    ),
    Mistake(
        r"found character '\\t'",
        "",
        "a tab cannot stand here",
        "indent with spaces: YAML allows no tabs there",
        wants=r"\A\s*\Z",
    ),
    Mistake(r"found character '\\t'", "", "a tab cannot stand here", "write a space instead"),
    Mistake(
        "found character '%' that cannot start",
        "",
        'a value cannot begin with "%"',
        "a variable of the environment is ${{{name}}}",
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
        'a ":" cannot stand here',
        'put the value in quotes if the ":" belongs to it, or begin a new line with the next key',
    ),
    Mistake(
        "could not find expected ':'",
        "simple key",
        "no space after the dash",
        "write a space after each dash that begins an entry of a list",
        at_start=True,
        line=r"^\s*-[^\s-]",
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
        "begin the list in a line of its own, below its key",
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
        "expected ',' or '(?P<what>[]}])', but got",
        "",
        'a ";" does not separate entries',
        "write a comma instead",
        line=r"[{\[][^}\]]*;",
        covers=";",
    ),
    Mistake(
        "expected ',' or '(?P<what>[]}])', but got '(?P<got>.*)'",
        "",
        'expected "," or "{what}" here',
        'close the bracket with "{what}", or separate its entries by commas; texts with brackets go in quotes',
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
        'the alias "*{what}" names no anchor',
        "put an anchor, &{what}, before its aliases; a text that begins with * goes in quotes",
        covers=r"\*[\w-]+",
    ),
    Mistake(
        "second occurrence",
        "duplicate anchor '(?P<what>.*)'",
        'duplicate anchor "&{what}"',
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
        "undefined tag handle|found.*tag|did not find.*tag",
        "",
        "topologies have no tags",
        "leave the tag out; a text that begins with ! goes in quotes",
    ),
    Mistake(
        "expected '<document start>', but found '<(block mapping start|scalar|block sequence start)>'",
        "",
        "this line is indented less than the first one",
        "begin all keys of the topology in the same column",
        first=r"\A\s",
    ),
    Mistake(
        "directive|YAML document|expected '<document start>'",
        "",
        "the document has ended above",
        'leave out "..." and lines that begin with "%"; a text that begins so goes in quotes',
    ),
    Mistake(
        "chomping or indentation|comment or a line break",
        "block scalar",
        "a block of text has text in its first line",
        "begin the text in the next line, indented",
    ),
    Mistake(
        "alphabetic or numeric character",
        "alias",
        'a "*" without quotes does not stand for all addresses',
        "name the addresses of your proxies, for instance 10.0.0.0/8; 0.0.0.0/0 is everybody",
        at_start=True,
        line=r"\b(trust|proxy_protocol):\s*\[?\s*\*",
    ),
    Mistake(
        "alphabetic or numeric character",
        "alias",
        'a "*" without quotes does not stand for all addresses',
        "write tcp://0.0.0.0:{port}",
        at_start=True,
        line=r"\*:(?P<port>\d{1,5})\b",
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
    note = f" (begun in line {began.line + 1})" if began.line != here.line else ""
    said = f"not valid YAML: {problem or 'it cannot be read'} {context}".rstrip() + note
    help_ = "look at the brackets, quotes and spaces of this line and of the one above"
    return Diagnostic("PC101", said, _place(source, here), help_)


LONGEST = 1000  # characters of a line in which a mistake is looked for


def _in_lines(mistake: Mistake, source: Source, number: int, here: Mark) -> dict[str, Any] | None:
    """The groups that are found in the lines; None where they are not those of the mistake."""
    line = source.line(number)
    if not re.search(mistake.wants, source.line(here.line)[: here.column]):
        return None
    words: dict[str, Any] = {}
    above = source.line(number - 1) if number else ""
    first = next((each for each in source.lines if each.strip()), "")
    for pattern, text in ((mistake.line, line), (mistake.first, first), (mistake.above, above)):
        found = re.search(pattern, text[:LONGEST].rstrip()) if pattern else None
        if pattern and found is None:
            return None
        words |= found.groupdict() if found else {}
    return words


def _line_above(source: Source, number: int, covers: str) -> Place:
    line = source.line(number - 1)
    found = re.search(covers, line) if covers else None
    start, end = found.span() if found else (len(line) - len(line.lstrip()), len(line.rstrip()))
    return Place(source, Span(number - 1, start, number - 1, end))


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
