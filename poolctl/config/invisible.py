"""Characters that look like others, or are invisible, where they change the meaning of a file.

They come with text that was copied from a web page: a no-break space is a letter to YAML, and typographic quotes do not
quote. They are fine inside a quoted string, a block scalar or a comment; elsewhere each character is reported once, and
the file is read as it was meant, so that there are no further findings about it.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from poolctl.config.diagnostic import MAX_FINDINGS, Diagnostic, Invalid, SourceText

SPACE = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
NOTHING = "\u00ad\u200b\u200e\u200f\u2060\ufeff"  # without the joiners U+200C and U+200D, which belong to words
QUOTES = "\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb"
SPACES = "".join(chr(code) for code in (0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000))  # the same
ANY = re.compile(f"[{SPACE}{NOTHING}{QUOTES}]")
_SPACE = re.compile(f"[{SPACE}]")
_NOTHING = re.compile(f"[{NOTHING}]")
_QUOTED = re.compile(f"[{QUOTES}](.*)[{QUOTES}]", re.DOTALL)

Compose = Callable[[str], Node | None]


class _Scalar(NamedTuple):
    start: int
    end: int
    node: ScalarNode


def compose(source: SourceText, text: str, strictly: Compose) -> tuple[Node | None, list[Diagnostic]]:
    """The document as it was meant, and the findings about it. ``strictly`` reads a text or raises Invalid."""
    spaces = [found.start() for found in _SPACE.finditer(text)]
    wrong: list[int] = []
    if spaces:
        try:
            likely = strictly(_SPACE.sub(" ", text))
        except Invalid:
            likely = None
        if likely is not None:
            harmless = _Harmless(text, _scalars(likely))
            wrong = [index for index in spaces if not harmless.at(index)]
    characters = list(text)
    for index in wrong:
        characters[index] = " "
    text = "".join(characters)
    try:
        node = strictly(text)
    except Invalid as invalid:
        raise Invalid(_with_cause(invalid.diagnostics, source)) from None
    found = [*wrong]
    for scalar in _scalars(node) if node is not None else ():
        found += _clean(scalar, text)
    return node, list(_findings(source, sorted(found)))


def _scalars(root: Node) -> list[_Scalar]:
    """All scalars in the order of the text."""
    seen: set[int] = set()
    found: list[_Scalar] = []

    def visit(node: Node) -> None:
        if id(node) in seen:
            return
        seen.add(id(node))
        if isinstance(node, MappingNode):
            for key, value in node.value:
                visit(key)
                visit(value)
        elif isinstance(node, SequenceNode):
            for value in node.value:
                visit(value)
        elif isinstance(node, ScalarNode):
            found.append(_Scalar(node.start_mark.index, node.end_mark.index, node))

    visit(root)
    return sorted(found, key=lambda each: each[:2])  # nodes cannot be compared; an empty one begins where another does


class _Harmless:
    """Where an unusual space does no harm: in a string or in a comment."""

    def __init__(self, text: str, scalars: list[_Scalar]) -> None:
        self.text = text
        self.scalars = scalars
        self._starts = [scalar.start for scalar in scalars]
        self._comments: dict[int, int] = {}  # of each line, by its start: where its comment begins

    def at(self, index: int) -> bool:
        """Whether a space at this index of the text does no harm."""
        if self._in_a_scalar(index):
            return True
        line = self.text.rfind("\n", 0, index) + 1
        if line not in self._comments:
            self._comments[line] = self._comment(line)
        return index > self._comments[line]

    def _in_a_scalar(self, index: int) -> bool:
        number = bisect_right(self._starts, index) - 1
        return number >= 0 and index < self.scalars[number].end

    def _comment(self, line: int) -> int:
        """The index at which the comment of a line begins; past the end of the text where there is none."""
        end = self.text.find("\n", line)
        for found in re.finditer(r"(?:^|(?<=[ \t]))#", self.text[line : end if end >= 0 else None]):
            if not self._in_a_scalar(line + found.start()):
                return line + found.start()
        return len(self.text)


def _clean(scalar: _Scalar, text: str) -> Iterator[int]:
    """Remove invisible characters and typographic quotes from a plain scalar; yields where they were."""
    node = scalar.node
    if node.style is not None or not ANY.search(node.value):
        return
    for found in _NOTHING.finditer(text, scalar.start, scalar.end):
        yield found.start()
    node.value = _NOTHING.sub("", node.value)
    kept = node.value.strip(SPACES)
    if kept != node.value:  # spaces that could not be replaced by ordinary ones before
        yield from (place for place in (scalar.start, scalar.end - 1) if text[place] in SPACES)
        node.value = kept
    quoted = _QUOTED.fullmatch(node.value)
    if quoted:
        yield scalar.start
        node.value = quoted[1]


def _findings(source: SourceText, indexes: list[int]) -> Iterator[Diagnostic]:
    """One finding for each character, at its first location."""
    places: dict[str, list[int]] = {}
    for index in indexes:
        places.setdefault(source.text[index], []).append(index)
    for character, where in places.items():
        length = 1
        while source.text[where[0] + length : where[0] + length + 1] == character:
            length += 1
        place = source.at(where[0], length)
        lines = list(dict.fromkeys(source.at(index).span.line + 1 for index in where[:MAX_FINDINGS]))[1:]
        several = f"also on line{'s' * (len(lines) > 1)} {', '.join(map(str, lines[:20]))}" if lines else ""
        name = f"{unicodedata.name(character, 'character').lower()} (U+{ord(character):04X})"
        message, help_ = f"{_article(name)} {name}, which is invisible", "delete it"
        if _SPACE.match(character):
            message = f"{_article(name)} {name}, which YAML does not treat as a space"
            help_ = "replace it with an ordinary space"
        elif not _NOTHING.match(character):
            message = f"{_article(name)} {name}, which YAML does not treat as a quote"
            help_ = "write straight quotes, \" or '"
        yield Diagnostic("PC102", message, place, help_, notes=(several,) if several else ())


def _article(name: str) -> str:
    return "an" if name[0] in "aeio" else "a"


def _with_cause(found: list[Diagnostic], source: SourceText) -> list[Diagnostic]:
    """The parser's findings, or in their place the character on that line which caused them."""
    lines = {each.place.span.line for each in found}
    here = next(
        (each.start() for each in ANY.finditer(source.text) if source.at(each.start()).span.line in lines), None
    )
    return found if here is None else list(_findings(source, [here]))
