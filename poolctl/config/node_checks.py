"""Checks of the nodes of a document: what YAML allows and a topology must not have, such as tags and duplicate keys."""

from __future__ import annotations

import re
from typing import NamedTuple

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from poolctl.config.core_schema import BOOL, CORE, FLOAT, INT, NULL, PATTERNS, STR
from poolctl.config.diagnostic import Diagnostic, Invalid, Label, Place, SourceText, Span

MAX_VALUES = 10_000  # values with all aliases expanded; see MAX_BYTES of loader.py
NO_TEXT = re.compile("[\x00\ud800-\udfff]")  # cannot be encoded or passed to the kernel


class Parsed(NamedTuple):
    """A document, the findings about its nodes, and the nodes whose values are not what was meant, by identity."""

    node: Node | None
    findings: list[Diagnostic]
    unusable: dict[int, Node]


def check(root: Node, source: SourceText) -> Parsed:
    """The nodes with the findings about what a topology must not have, which is removed from them where possible.

    Raises Invalid where the values would be endless.
    """
    walk = _Walk(source)
    values = walk.values(root)
    if values > MAX_VALUES and not walk.endless:
        message = f"with its aliases expanded the file has more than {MAX_VALUES} values"
        walk.endless = True
        walk.report("PC108", message, root, "use fewer aliases")
    if walk.endless:
        raise Invalid(walk.findings)
    return Parsed(root, walk.findings, walk.unusable)


class _Walk:
    """Visits every node once, however often aliases refer to it."""

    def __init__(self, source: SourceText) -> None:
        self.source = source
        self.findings: list[Diagnostic] = []
        self.unusable: dict[int, Node] = {}
        self.endless = False
        self._counted: dict[int, int] = {}  # the number of values of each visited node
        self._open: set[int] = set()

    def report(self, code: str, message: str, node: Node, help_: str = "", related: tuple[Label, ...] = ()) -> None:
        """Add a finding at a node."""
        self.findings.append(Diagnostic(code, message, place_of(self.source, node), help_, related))

    def values(self, node: Node) -> int:
        """The number of values of a node with all aliases expanded. Visits it the first time."""
        if id(node) in self._open:
            self.endless = True
            self.report("PC107", "this value contains an alias to itself", node, "write the value instead of the alias")
            return 1
        if id(node) not in self._counted:
            self._open.add(id(node))
            self._counted[id(node)] = self._visit(node)
            self._open.discard(id(node))
        return self._counted[id(node)]

    def _visit(self, node: Node) -> int:
        if isinstance(node, MappingNode):
            self._tag(node, (CORE + "map",))
            self._keys(node)
            return 1 + sum(self.values(value) for _, value in node.value)
        if isinstance(node, SequenceNode):
            self._tag(node, (CORE + "seq",))
            return 1 + sum(self.values(value) for value in node.value)
        self._tag(node, (NULL, BOOL, INT, FLOAT, STR))
        self._text(node)
        return 1

    def _text(self, node: Node) -> None:
        """Report an escape for NUL or a surrogate: encoding the value, or passing it to the kernel, would fail."""
        if NO_TEXT.search(node.value):
            self._reject(node, "PC102", "an escape here stands for a character that is not allowed", "remove it")

    def _reject(self, node: Node, code: str, message: str, help_: str) -> None:
        """Report what is wrong with a value, and allow no further findings about it."""
        self.report(code, message, node, help_)
        self.unusable[id(node)] = node
        if isinstance(node, ScalarNode):
            node.tag, node.value = STR, ""

    def _tag(self, node: Node, known: tuple[str, ...]) -> None:
        if node.tag not in known:
            tag = node.tag.replace(CORE, "!!")
            self._reject(node, "PC105", f'the tag "{tag}" is not allowed here', "remove the tag")
        elif isinstance(node, ScalarNode) and node.tag != STR and not PATTERNS[node.tag].match(node.value):
            message = f'"{node.value}" is not a valid {node.tag.replace(CORE, "!!")}'
            self._reject(node, "PC105", message, "remove the tag")
        elif node.tag == INT and len(node.value) > 40:
            help_ = "write a smaller number, or put a string of digits in quotes"
            self._reject(node, "PC108", "a number of more than 40 digits", help_)

    def _keys(self, node: MappingNode) -> None:
        seen: dict[str, Node] = {}
        kept = []
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self._complex_key(node, key)
            elif key.value == "<<" and key.style is None:
                self.report(
                    "PC109", 'the merge key "<<" is not part of YAML 1.2', key, "write the merged keys out here"
                )
            elif NO_TEXT.search(key.value):
                self._text(key)
            elif key.value in seen:
                self._duplicate(key, seen[key.value])
            else:
                seen[key.value] = key
                kept.append((key, value))
        node.value = kept

    def _complex_key(self, node: MappingNode, key: Node) -> None:
        """Report a list or a mapping as a key; double braces come from a template."""
        if isinstance(key, MappingNode) and len(node.value) == 1 and node.flow_style and key.flow_style:
            self.unusable[id(node)] = node
            help_ = "use one pair of braces for a mapping, or ${NAME} for an environment variable"
            self.report("PC109", "braces directly inside braces", node, help_)
            return
        self.report("PC109", "a key must be a plain string", key, "put a string with brackets or braces in quotes")

    def _duplicate(self, key: ScalarNode, first: Node) -> None:
        line, again = first.start_mark.line + 1, key.start_mark.line + 1
        where = f"lines {line} and {again}" if line != again else f"line {line}"
        message = f'duplicate key "{key.value}" ({where})'
        related = (Label(place_of(self.source, first), "first given here"),)
        self.report("PC104", message, key, "keep one of the two", related)


def place_of(source: SourceText, node: Node) -> Place:
    """The location of a node, without the line breaks that follow a block."""
    start, end = node.start_mark, node.end_mark
    if end.line > start.line and end.column == 0:  # a block ends where the next key begins
        return Place(source, Span(start.line, start.column, start.line, len(source.line(start.line).rstrip())))
    return Place(source, Span(start.line, start.column, end.line, end.column))
