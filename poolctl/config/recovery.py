"""Reading on after a mistake in the syntax: every top-level entry is read by itself, and those that cannot be read are
left out, so that the others are checked too.

    name: "shop          an entry begins with a key in the first column, and goes on up to the next one
    app: demo            this one is sound, whatever the quotation mark above it swallows for a reader of the whole
    listen: [1, 2        a second mistake

Nothing is said of keys that were left out. Where an entry may depend on others (anchors and aliases, directives,
several documents), or no entry is wrong by itself, only the first mistake is reported.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from yaml.nodes import MappingNode, Node, ScalarNode

from poolctl.config.diagnostic import Diagnostic, Invalid

ENTRY = re.compile(r"""^(?P<quote>["']?)(?P<key>[A-Za-z_][\w.-]*)(?P=quote)[ \t]*:(?=[ \t\r\n]|\Z)""", re.MULTILINE)
DEPENDS = re.compile(r"(?:^|[\s\[{,:-])[&*][^\s&*]|^(?:%|---|\.\.\.)", re.MULTILINE)
MOST = 60  # entries; a topology has few
SHOWN = 20  # mistakes
Read = Callable[[str], Node | None]  # raises Invalid


class Recovered(NamedTuple):
    """What could be read, the mistakes, and the values that stand for those that could not be read."""

    node: Node
    findings: list[Diagnostic]
    unusable: dict[int, Node]


def recover(text: str, first: Diagnostic, read: Read) -> Recovered | None:
    """The sound entries of a text that cannot be read as a whole; None where they cannot be told from the others.
    ``first``: what is wrong with the whole. ``read``: reads a text whose places are those of the whole."""
    if first.code != "PC101":
        return None
    starts = [found.start() for found in ENTRY.finditer(text)]
    if not 2 <= len(starts) <= MOST or not _comments(text[: starts[0]]) or DEPENDS.search(text):
        return None
    findings: list[Diagnostic] = []
    sound, left_out = text, set()
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        try:
            read(_blank(text[:start]) + text[start:end])
        except Invalid as invalid:
            key = ENTRY.match(text, start)
            assert key is not None
            here = range(text.count("\n", 0, start), text.count("\n", 0, end) + (end == len(text)))
            # Of a mistake in its lines the reader of the whole has more to say; elsewhere it has only met what follows.
            of_whole = not findings and first.place.span.line in here
            findings += [first] if of_whole else invalid.diagnostics
            left_out.add(start)
            sound = sound[: key.end()] + _blank(text[key.end() : end]) + sound[end:]
    if not findings:
        return None  # what is wrong lies between them
    try:
        node = read(sound)
    except Invalid:
        return None
    if not isinstance(node, MappingNode):
        return None
    lost: list[Node] = []
    for number, (key, value) in enumerate(node.value):
        if key.start_mark.index in left_out:
            # No null: a key without a value may be meant to have the keys below it as its own (typos.py).
            node.value[number] = key, ScalarNode("tag:yaml.org,2002:str", "", value.start_mark, value.end_mark)
            lost += node.value[number]
    return Recovered(node, findings[:SHOWN], {id(each): each for each in lost})


def _blank(text: str) -> str:
    """Spaces in the place of everything but the ends of lines."""
    return re.sub(r"[^\r\n]", " ", text)


def _comments(text: str) -> bool:
    return all(not line.strip() or line.lstrip().startswith("#") for line in text.splitlines())
