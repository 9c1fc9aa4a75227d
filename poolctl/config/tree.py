"""The nodes of a topology by path, wherever each was written: in the file, or in a --set of the command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from poolctl.config.diagnostic import Place, Source, Span
from poolctl.config.loader import construct, place_of

Path = tuple[str | int, ...]


@dataclass
class Tree:
    """The composed topology. ``root`` is None for an empty file."""

    file: Source
    root: Node | None
    sources: dict[str, Source] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sources.setdefault(self.file.name, self.file)

    def value(self) -> Any:
        return None if self.root is None else construct(self.root)

    def value_at(self, path: Sequence[str | int]) -> Any:
        """What was written there, before a unit was read."""
        node = self.find(path)[1]
        return None if node is None else construct(node)

    def find(self, path: Sequence[str | int]) -> tuple[Node | None, Node | None]:
        """The key and the value at a path; parts of the path that no node has are skipped.

        Pydantic names more steps than the file has, the members of unions for instance.
        """
        key: Node | None = None
        node = self.root
        for part in path:
            found = _step(node, part)
            if found is not None:
                key, node = found
        return key, node

    def has(self, path: Sequence[str | int]) -> bool:
        node = self.root
        for part in path:
            found = _step(node, part)
            if found is None:
                return False
            node = found[1]
        return True

    def at_value(self, path: Sequence[str | int]) -> Place:
        """Where the value stands, or what is nearest to it."""
        return self._place(self.find(path)[1])

    def at_key(self, path: Sequence[str | int]) -> Place:
        """Where the key stands, or what is nearest to it."""
        key, value = self.find(path)
        return self._place(key or value)

    def _place(self, node: Node | None) -> Place:
        if node is None or (node is self.root and isinstance(node, MappingNode)):
            return Place(self.file, Span(0, 0, 0, len(self.file.line(0).rstrip())))
        return place_of(self.sources[node.start_mark.name], node)


def _step(node: Node | None, part: str | int) -> tuple[Node | None, Node] | None:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if isinstance(key, ScalarNode) and key.value == part:
                return key, value
    if isinstance(node, SequenceNode) and isinstance(part, int) and 0 <= part < len(node.value):
        return None, node.value[part]
    return None


def replaced(node: Node | None, path: Sequence[ScalarNode], value: Node, names: Iterable[str]) -> Node:
    """A copy of the mapping ``node`` with another value at the path; the original stays, an alias may share it.

    A plain word on the way becomes a mapping that has the word under the first of ``names``, so that ``pool: thread``
    with ``pool.size=4`` is ``{kind: thread, size: 4}``. Raises ValueError with the part of the path that cannot be
    entered.
    """
    if not path:
        return value
    first, rest = path[0], path[1:]
    entries = _entries(node, first, names)
    below = next((child for key, child in entries if key.value == first.value), None)
    word = {"pool": "kind"}.get(first.value, "use")
    entry = (first, replaced(below, rest, value, [word]))
    kept = [(key, child) for key, child in entries if key.value != first.value]
    return MappingNode("tag:yaml.org,2002:map", [*kept, entry], first.start_mark, value.end_mark)


def _entries(node: Node | None, first: ScalarNode, names: Iterable[str]) -> list[tuple[Any, Node]]:
    if isinstance(node, MappingNode):
        return list(node.value)
    if node is None or (isinstance(node, ScalarNode) and node.value in ("", "~", "null")):
        return []
    if isinstance(node, ScalarNode):
        mark = node.start_mark
        return [(ScalarNode("tag:yaml.org,2002:str", name, mark, node.end_mark), node) for name in names]
    raise ValueError(first.value)
