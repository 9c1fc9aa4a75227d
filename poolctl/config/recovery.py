"""Recovery from syntax errors: every top-level entry is read by itself, and those that cannot be read are left out, so
that the others are checked too.

    name: "shop          an entry begins with a key in the first column, and extends to the next one
    app: demo            this one is valid, although the open quote above it swallows it when the whole file is read
    listen: [1, 2        a second error

There are no further findings about entries that were left out. Where entries may depend on each other (anchors and
aliases, directives, several documents), or no entry is wrong by itself, only the first error is reported.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from yaml.nodes import MappingNode, Node, ScalarNode

from poolctl.config.diagnostic import Diagnostic, Invalid

ENTRY = re.compile(r"""^(?P<quote>["']?)(?P<key>[A-Za-z_][\w.-]*)(?P=quote)[ \t]*:(?=[ \t\r\n]|\Z)""", re.MULTILINE)
DEPENDS = re.compile(r"(?:^|[\s\[{,:-])[&*][^\s&*]|^(?:%|---|\.\.\.)", re.MULTILINE)
MAX_ENTRIES = 60  # a topology has few
MAX_ERRORS = 20  # that are reported
Read = Callable[[str], Node | None]  # raises Invalid


class Recovered(NamedTuple):
    """What could be read, the syntax errors, and the placeholders for the entries that could not be read."""

    node: Node
    findings: list[Diagnostic]
    unusable: dict[int, Node]


def recover(text: str, first: Diagnostic, read: Read) -> Recovered | None:
    """The valid entries of a text that cannot be read as a whole; None where they cannot be told from the others.

    ``first`` is the finding about the whole text. ``read`` reads a text with an entry at its original location.
    """
    if first.code != "PC101":
        return None
    starts = [found.start() for found in ENTRY.finditer(text)]
    if not 2 <= len(starts) <= MAX_ENTRIES or not _comments(text[: starts[0]]) or DEPENDS.search(text):
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
            # The finding about the whole is better when it is inside this entry; elsewhere it is a consequence.
            of_whole = not findings and first.place.span.line in here
            findings += [first] if of_whole else invalid.diagnostics
            left_out.add(start)
            sound = sound[: key.end()] + _blank(text[key.end() : end]) + sound[end:]
    if not findings:
        return None  # the error is between the entries
    try:
        node = read(sound)
    except Invalid:
        return None
    if not isinstance(node, MappingNode):
        return None
    lost: list[Node] = []
    for number, (key, value) in enumerate(node.value):
        if key.start_mark.index in left_out:
            # Not null: typos.py would take the keys below an empty value for its own.
            node.value[number] = key, ScalarNode("tag:yaml.org,2002:str", "", value.start_mark, value.end_mark)
            lost += node.value[number]
    return Recovered(node, findings[:MAX_ERRORS], {id(each): each for each in lost})


def _blank(text: str) -> str:
    """The text with spaces in place of everything but line ends."""
    return re.sub(r"[^\r\n]", " ", text)


def _comments(text: str) -> bool:
    return all(not line.strip() or line.lstrip().startswith("#") for line in text.splitlines())
