"""Slips of the keyboard that leave valid YAML which says something else: keys that are not indented below their own,
and colons without the space that makes them one.

Each is said once, and the topology is read as it was meant, so that nothing else has to be said of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from poolctl.config.diagnostic import Diagnostic, Label, Source
from poolctl.config.loader import CORE, NULL, STR, place_of, resolved_tag
from poolctl.config.sources import mark_at
from poolctl.config.tree import Path, Tree
from poolctl.similar import similar

Entry = tuple[Node, Node]
_GLUED = re.compile(r"([A-Za-z_][\w-]{0,40})(:|\s*=\s*)(\S.*)", re.DOTALL)


@dataclass
class Shape:
    """The keys of a mapping, by its path, and those of them that may hold a mapping; None: any keys."""

    keys: Callable[[Path], Collection[str] | None]
    owners: Callable[[Path], Collection[str]]


def correct_typos(tree: Tree, shape: Shape) -> None:
    """Put the nodes of the tree where they were meant to stand, and keep in it what is wrong with the file."""
    reader = _Reader(tree, shape)
    if tree.root is not None:
        tree.root = reader.visit(tree.root, (), -1)


class _Reader:
    def __init__(self, tree: Tree, shape: Shape) -> None:
        self.tree = tree
        self.shape = shape

    def visit(self, node: Node, path: Path, line: int) -> Node:
        """The node as it was meant. ``line``: of its key."""
        if isinstance(node, SequenceNode) and path == ("listen",):
            entries = [self.visit(entry, path, entry.start_mark.line - 1) for entry in node.value]
            return SequenceNode(node.tag, entries, node.start_mark, node.end_mark)
        known = self.shape.keys(path)
        if known is None:
            return node
        if isinstance(node, ScalarNode):
            glued = self._glued(node, known) if line < node.start_mark.line else None
            return MappingNode(CORE + "map", [glued], node.start_mark, node.end_mark) if glued else node
        if not isinstance(node, MappingNode):
            return node
        pairs = list(self._indented([self._apart(key, value, known) for key, value in node.value], path, known))
        below = [(key, self.visit(value, (*path, key.value), key.start_mark.line)) for key, value in pairs]
        return MappingNode(node.tag, below, node.start_mark, node.end_mark)

    def _apart(self, key: Node, value: Node, known: Collection[str]) -> Entry:
        """{kind:process} is one key, whose value is nothing."""
        return (_is_empty(value) and self._glued(key, known)) or (key, value)

    def _glued(self, node: Node, known: Collection[str]) -> Entry | None:
        if not isinstance(node, ScalarNode) or node.style is not None:
            return None
        found = _GLUED.fullmatch(node.value)
        if found is None or found[1] not in known:
            return None
        source = self._source(node)
        name, sign, text = found.groups()
        message = f'no space after the colon of "{node.value}"' if sign == ":" else 'an "=" instead of a colon'
        self.tree.findings.append(Diagnostic("PC203", message, place_of(source, node), f'write "{name}: {text}"'))
        start = node.start_mark.index + found.start(2)
        key = ScalarNode(STR, name, node.start_mark, mark_at(source, start))
        value = ScalarNode(resolved_tag(text), text, mark_at(source, start + len(sign)), node.end_mark)
        return key, value

    def _indented(self, entries: list[Entry], path: Path, known: Collection[str]) -> Iterator[Entry]:
        """Keys that follow one without a value, and that only it could have, are below it."""
        owners = self.shape.owners(path)
        number = 0
        while number < len(entries):
            key, value = entries[number]
            number += 1
            below: list[Entry] = []
            if key.value in owners and _is_empty(value):
                while number < len(entries) and self._strange(entries[number][0], key, path, known):
                    below.append(entries[number])
                    number += 1
            if not below:
                yield key, value
                continue
            self._say(key, below, path)
            yield key, MappingNode(CORE + "map", below, below[0][0].start_mark, below[-1][1].end_mark)

    def _strange(self, key: Node, owner: Node, path: Path, known: Collection[str]) -> bool:
        inner = self.shape.keys((*path, owner.value)) or ()
        return (
            key.value not in known
            and not key.value.startswith("x-")
            and key.start_mark.name == owner.start_mark.name
            and key.start_mark.column == owner.start_mark.column
            and (key.value in inner or similar(key.value, known) is None)
        )

    def _say(self, owner: Node, below: list[Entry], path: Path) -> None:
        names = [f'"{key.value}"' for key, _ in below[:10]]
        named = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        message = f'{named} {"is" if len(names) == 1 else "are"} not indented below "{owner.value}"'
        lines = below[0][0].start_mark.line, below[-1][1].end_mark.line
        which = "its line" if len(below) == 1 and lines[0] == lines[1] else "these lines"
        source = self._source(owner)
        label = Label(place_of(source, owner), "it has no value")
        place = place_of(self._source(below[0][0]), below[0][0])
        self.tree.findings.append(Diagnostic("PC201", message, place, f"begin {which} with two more spaces", (label,)))

    def _source(self, node: Node) -> Source:
        return self.tree.sources[node.start_mark.name]


def _is_empty(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.tag == NULL and node.value == ""
