"""Characters that look like others, or like nothing, where they change what a file says.

They come with text that was copied from a page: a no-break space is a letter to YAML, and typographic quotes quote
nothing. Inside a quoted text, a block of text or a comment they are right; elsewhere each kind is said once, and the
file is read as it was meant, so that nothing else has to be said of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import NamedTuple

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from poolctl.config.diagnostic import Diagnostic, Invalid, Source

SPACE = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
NOTHING = "\u00ad\u200b\u200e\u200f\u2060\ufeff"  # not those that join letters, U+200C and U+200D
QUOTES = "\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb"
ANY = re.compile(f"[{SPACE}{NOTHING}{QUOTES}]")
_SPACE = re.compile(f"[{SPACE}]")
_NOTHING = re.compile(f"[{NOTHING}]")
_AROUND = re.compile(f"\\A[{SPACE}]+|[{SPACE}]+\\Z")
_QUOTED = re.compile(f"[{QUOTES}](.*)[{QUOTES}]", re.DOTALL)

Compose = Callable[[str], Node | None]


class _Scalar(NamedTuple):
    start: int
    end: int
    node: ScalarNode


def compose(source: Source, text: str, strictly: Compose) -> tuple[Node | None, list[Diagnostic]]:
    """The document as it was meant, and what is wrong with it. ``strictly`` reads a text, or raises Invalid."""
    spaces = [found.start() for found in _SPACE.finditer(text)]
    wrong: list[int] = []
    if spaces:
        try:
            likely = strictly(_SPACE.sub(" ", text))
        except Invalid:
            likely = None
        if likely is not None:
            wrong = [index for index in spaces if not _rightly(index, text, _scalars(likely))]
    for index in wrong:
        text = f"{text[:index]} {text[index + 1 :]}"
    try:
        node = strictly(text)
    except Invalid as invalid:
        raise Invalid(_because(invalid.diagnostics, source)) from None
    found = [*wrong]
    for scalar in _scalars(node) if node is not None else ():
        found += _made_visible(scalar, text)
    return node, list(_said(source, sorted(found)))


def _scalars(root: Node) -> list[_Scalar]:
    """All scalars, in the order of the text."""
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
    return sorted(found)


def _rightly(index: int, text: str, scalars: list[_Scalar]) -> bool:
    """Whether a space of another kind stands in a text or a comment, where it does no harm."""
    if any(scalar.start <= index < scalar.end for scalar in scalars):
        return True
    line = text.rfind("\n", 0, index) + 1
    return any(
        text[place - 1 : place] in ("", " ", "\t", "\n")
        for place in range(line, index)
        if text[place] == "#" and not any(scalar.start <= place < scalar.end for scalar in scalars)
    )


def _made_visible(scalar: _Scalar, text: str) -> Iterator[int]:
    """Where a plain scalar has what cannot be seen, or quotes that are none; they are taken out of it."""
    node = scalar.node
    if node.style is not None or not ANY.search(node.value):
        return
    for found in _NOTHING.finditer(text, scalar.start, scalar.end):
        yield found.start()
    node.value = _NOTHING.sub("", node.value)
    for found in _AROUND.finditer(node.value):  # where no other reading of the file makes them ordinary ones
        yield from range(*(text.find(found[0], scalar.start, scalar.end) + end for end in (0, len(found[0]))))
    node.value = _AROUND.sub("", node.value)
    quoted = _QUOTED.fullmatch(node.value)
    if quoted:
        yield scalar.start
        node.value = quoted[1]


def _said(source: Source, indexes: list[int]) -> Iterator[Diagnostic]:
    """One finding for each character, at its first place."""
    places: dict[str, list[int]] = {}
    for index in indexes:
        places.setdefault(source.text[index], []).append(index)
    for character, where in places.items():
        length = 1
        while source.text[where[0] + length : where[0] + length + 1] == character:
            length += 1
        place = source.at(where[0], length)
        lines = list(dict.fromkeys(source.at(index).span.line + 1 for index in where))[1:]
        several = f"the same stands in line{'s' * (len(lines) > 1)} {', '.join(map(str, lines[:20]))}" if lines else ""
        name = f"{unicodedata.name(character, 'a character').lower()} (U+{ord(character):04X})"
        message, help_ = f"{_article(name)} {name}, which cannot be seen", "delete it"
        if _SPACE.match(character):
            message, help_ = f"{_article(name)} {name}, which is no space in YAML", "replace it with an ordinary space"
        elif not _NOTHING.match(character):
            message = f"{_article(name)} {name}, which quotes nothing in YAML"
            help_ = "write straight quotes, \" or '"
        yield Diagnostic("PC102", message, place, help_, notes=(several,) if several else ())


def _article(name: str) -> str:
    return "an" if name[0] in "aeio" else "a"


def _because(found: list[Diagnostic], source: Source) -> list[Diagnostic]:
    """What the parser says, or the character in that line that is the reason of it."""
    lines = {each.place.span.line for each in found}
    starts = [index for index, character in enumerate(source.text) if ANY.match(character)]
    here = [index for index in starts if source.at(index).span.line in lines]
    return list(_said(source, here[:1])) if here else found
