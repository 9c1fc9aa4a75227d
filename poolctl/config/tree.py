"""The nodes of a topology by path, wherever each was written: in a file, or in a --set of the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from poolctl.config.core_schema import FLOAT, INT, construct
from poolctl.config.diagnostic import Diagnostic, Place, SourceText, Span, in_order
from poolctl.config.node_checks import place_of

Path = tuple[str | int, ...]


class Tree:
    """The composed topology. ``root`` is None for an empty file.

    ``findings`` are those from reading the sources. ``substituted`` has the nodes whose values contain variables, with
    the names of these; ``unusable`` has the nodes whose values are not what was meant. Both are keyed by the identity
    of the node.
    """

    def __init__(self, file: SourceText, root: Node | None) -> None:
        self.file = file
        self.root = root
        self.sources = {file.name: file}
        self.findings: list[Diagnostic] = []
        self.substituted: dict[int, tuple[Node, tuple[str, ...]]] = {}
        self.unusable: dict[int, Node] = {}
        self._read: tuple[Node | None, dict[str, Any]] | None = None

    def report(self, findings: Iterable[Diagnostic], *, earlier: bool = True) -> list[Diagnostic]:
        """The findings in order, together with those from reading the sources, if ``earlier``.

        Findings about a value that is not what was meant are left out. Findings about a value with a variable get a
        note, because the value cannot be seen in the file.
        """
        unusable = {_start(node) for node in self.unusable.values()}
        made = {_start(node): names for node, names in self.substituted.values()}
        kept = list(self.findings) if earlier else []
        for finding in map(_with_braces, findings):
            source, span = finding.place
            start = source.name, span.line, span.column
            if start in made:
                kept.append(replace(finding, notes=(*finding.notes, _note_of_variables(made[start]))))
            elif start not in unusable:
                kept.append(finding)
        return in_order(kept, self.sources)

    def variables(self, path: Sequence[str | int]) -> tuple[str, ...]:
        """The environment variables in the value at a path."""
        node = self.find(path)[1]
        return self.substituted[id(node)][1] if id(node) in self.substituted else ()

    def value(self) -> Any:
        """The whole topology as plain values; None for an empty file."""
        return None if self.root is None else construct(self.root)

    def value_at(self, path: Sequence[str | int]) -> Any:
        """The plain value at a path, before units are read."""
        node = self.find(path)[1]
        return None if node is None else construct(node)

    def mapping_at(self, path: Sequence[str | int]) -> dict[str, Any]:
        """The mapping at a path; empty where there is none. The last one is cached for the findings about its keys."""
        node = self.find(path)[1] if path else self.root
        if self._read is None or self._read[0] is not node:
            value = construct(node) if isinstance(node, MappingNode) else {}
            self._read = node, value
        return self._read[1]

    def written_at(self, path: Sequence[str | int]) -> str:
        """A number as it was written, such as 0022, which reads as 22; empty for other values."""
        node = self.find(path)[1]
        return str(node.value)[:60] if isinstance(node, ScalarNode) and node.tag in (INT, FLOAT) else ""

    def text_at(self, path: Sequence[str | int]) -> str:
        """A value as it was written, before variables were substituted."""
        node = self.find(path)[1]
        if node is None:
            return ""
        return self.sources[node.start_mark.name].text[node.start_mark.index : node.end_mark.index]

    def named(self, path: Sequence[str | int]) -> str:
        """A path with dots, as in the file: for pydantic a single address is the first of a list."""
        kept: list[str | int] = []
        for part in path:
            if isinstance(part, str) or self.has((*kept, part)):
                kept.append(part)
        return ".".join(map(str, kept))

    def find(self, path: Sequence[str | int]) -> tuple[Node | None, Node | None]:
        """The key and the value at a path; parts of the path without a node are skipped.

        Pydantic's paths have more parts than the file, such as the members of unions.
        """
        key: Node | None = None
        node = self.root
        for part in path:
            found = _step(node, part)
            if found is not None:
                key, node = found
        return key, node

    def has(self, path: Sequence[str | int]) -> bool:
        """Whether there is a value at exactly this path."""
        node = self.root
        for part in path:
            found = _step(node, part)
            if found is None:
                return False
            node = found[1]
        return True

    def at_value(self, path: Sequence[str | int]) -> Place:
        """The location of the value at a path, or of the closest one to it."""
        return self._place(self.find(path)[1])

    def at_key(self, path: Sequence[str | int]) -> Place:
        """The location of the key at a path, or of the closest one to it."""
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


def _start(node: Node) -> tuple[str, int, int]:
    return node.start_mark.name, node.start_mark.line, node.start_mark.column


_BARE = re.compile(r"(?<!\$)(?:\$\$)*\$([A-Za-z_]\w*)|%([A-Za-z_]\w*)%|\{\{\s*([A-Za-z_]\w*)\s*\}\}")


def _with_braces(finding: Diagnostic) -> Diagnostic:
    """The finding with another help where its value has a variable in the syntax of a shell or a template."""
    source, span = finding.place
    line = source.line(span.line)
    found = _BARE.search(line, span.column, span.end_column if span.end_line == span.line else len(line))
    if found is None or finding.code not in ("PC204", "PC205", "PC206"):
        return finding
    name = next(filter(None, found.groups()))
    help_ = f"write ${{{name}}} for the environment variable"
    before = line[: span.column]
    if before.count("{") > before.count("}") or before.count("[") > before.count("]"):
        help_ += ", with the key on a line of its own: inside brackets, YAML takes the brace for its own"
    return replace(finding, help=help_)


def _note_of_variables(names: Sequence[str]) -> str:
    several = list(dict.fromkeys(names))
    variables = f"variable {several[0]}" if len(several) == 1 else f"variables {' and '.join(several)}"
    return f"the value comes from the environment {variables}"
