"""Typos that leave valid YAML with another meaning: keys that are not indented under their owner, and colons without a
space after them.

Each is reported once, and the topology is read as it was meant, so that there are no further findings about it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from poolctl.config.core_schema import CORE, NULL, STR, resolved_tag
from poolctl.config.diagnostic import Diagnostic, Label, SourceText
from poolctl.config.node_checks import place_of
from poolctl.config.sources import mark_at
from poolctl.config.tree import Path, Tree
from poolctl.similar import similar

Entry = tuple[Node, Node]
_GLUED = re.compile(r"([A-Za-z_][\w-]{0,40})(:|\s*=\s*)(\S.*)", re.DOTALL)


@dataclass
class Shape:
    """The keys of the mapping at a path (None: any keys), and those of them that may hold a mapping."""

    keys: Callable[[Path], Collection[str] | None]
    owners: Callable[[Path], Collection[str]]


def correct_typos(tree: Tree, shape: Shape) -> None:
    """Move the nodes of the tree to where they were meant to be, and add the findings to it."""
    reader = _Reader(tree, shape)
    if tree.root is not None:
        tree.root = reader.visit(tree.root, (), -1)


class _Reader:
    def __init__(self, tree: Tree, shape: Shape) -> None:
        self.tree = tree
        self.shape = shape

    def visit(self, node: Node, path: Path, line: int) -> Node:
        """The node as it was meant. ``line`` is that of its key."""
        if isinstance(node, SequenceNode) and path in (("listen",), ("classes",)):
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
        pairs = list(self._indented([self._split(key, value, known) for key, value in node.value], path, known))
        below = [(key, self.visit(value, (*path, key.value), key.start_mark.line)) for key, value in pairs]
        return MappingNode(node.tag, below, node.start_mark, node.end_mark)

    def _split(self, key: Node, value: Node, known: Collection[str]) -> Entry:
        """The entry as it was meant: {kind:process} is a single key without a value to YAML."""
        return (_is_empty(value) and self._glued(key, known)) or (key, value)

    def _glued(self, node: Node, known: Collection[str]) -> Entry | None:
        if not isinstance(node, ScalarNode) or node.style is not None:
            return None
        found = _GLUED.fullmatch(node.value)
        if found is None or found[1] not in known:
            return None
        source = self._source(node)
        name, sign, text = found.groups()
        message = f'missing space after the colon in "{node.value}"' if sign == ":" else '"=" instead of a colon'
        self.tree.findings.append(Diagnostic("PC203", message, place_of(source, node), f'write "{name}: {text}"'))
        start = node.start_mark.index + found.start(2)
        key = ScalarNode(STR, name, node.start_mark, mark_at(source, start))
        value = ScalarNode(resolved_tag(text), text, mark_at(source, start + len(sign)), node.end_mark)
        return key, value

    def _indented(self, entries: list[Entry], path: Path, known: Collection[str]) -> Iterator[Entry]:
        """The entries, where keys that follow an owner without a value, and only it could have, are moved into it."""
        owners = self.shape.owners(path)
        number = 0
        while number < len(entries):
            key, value = entries[number]
            number += 1
            below: list[Entry] = []
            if key.value in owners and _is_empty(value):
                while number < len(entries) and self._is_misplaced(entries[number][0], key, path, known):
                    below.append(entries[number])
                    number += 1
            if not below:
                yield key, value
                continue
            self._report(key, below, path)
            yield key, MappingNode(CORE + "map", below, below[0][0].start_mark, below[-1][1].end_mark)

    def _is_misplaced(self, key: Node, owner: Node, path: Path, known: Collection[str]) -> bool:
        inner = self.shape.keys((*path, owner.value)) or ()
        return (
            key.value not in known
            and not key.value.startswith("x-")
            and key.start_mark.name == owner.start_mark.name
            and key.start_mark.column == owner.start_mark.column
            and (key.value in inner or similar(key.value, known) is None)
        )

    def _report(self, owner: Node, below: list[Entry], path: Path) -> None:
        names = [f'"{key.value}"' for key, _ in below[:10]]
        named = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        message = f'{named} {"is" if len(names) == 1 else "are"} not indented under "{owner.value}"'
        lines = below[0][0].start_mark.line, below[-1][1].end_mark.line
        which = "its line" if len(below) == 1 and lines[0] == lines[1] else "these lines"
        source = self._source(owner)
        label = Label(place_of(source, owner), "has no value")
        place = place_of(self._source(below[0][0]), below[0][0])
        self.tree.findings.append(Diagnostic("PC201", message, place, f"indent {which} by two more spaces", (label,)))

    def _source(self, node: Node) -> SourceText:
        return self.tree.sources[node.start_mark.name]


def _is_empty(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.tag == NULL and node.value == ""
