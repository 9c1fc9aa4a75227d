"""YAML 1.2 core types to nodes with places. What stock PyYAML takes silently is refused.

A topology is composed, not constructed: every check here works on the graph of nodes, before anything is built from
it, so a small file that expands to millions of values costs nothing.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from poolctl.config.diagnostic import Diagnostic, Invalid, Place, Source, Span

MAX_BYTES = 1 << 20
MAX_VALUES = 100_000
MAX_DEPTH = 64

CORE = "tag:yaml.org,2002:"
NULL, BOOL, INT, FLOAT, STR = (CORE + name for name in ("null", "bool", "int", "float", "str"))
# YAML 1.2.2, 10.3.2 (tag resolution of the core schema); `no`, `22:22` and `2026-01-01` are text.
RESOLUTION = [
    (NULL, re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""]),
    (BOOL, re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF")),
    (INT, re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z"), list("-+0123456789")),
    (
        FLOAT,
        re.compile(
            r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
        ),
        list("-+.0123456789"),
    ),
]
NO_TEXT = re.compile("[\x00\ud800-\udfff]")
PATTERNS = {tag: pattern for tag, pattern, _ in RESOLUTION}


class TopologyLoader(yaml.SafeLoader):
    """The pure Python loader (it shows snippets; topologies are small) with the types of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # as the base has it
    depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        if self.depth >= MAX_DEPTH:
            # A plain exception of the parser, so that it gets its place like the others.
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise TooDeep(None, None, f"nested more than {MAX_DEPTH} levels deep", mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


for _tag, _pattern, _first in RESOLUTION:
    TopologyLoader.add_implicit_resolver(_tag, _pattern, _first)


class TooDeep(yaml.MarkedYAMLError):
    """More levels than a topology has any use for."""


def parse(source: Source, blank: int = 0) -> Node | None:
    """The one document of a text; None when it is empty.

    The first ``blank`` characters are the command line's own and no YAML. Raises Invalid.
    """
    text = " " * blank + source.text[blank:]
    try:
        loader = TopologyLoader(text)
    except yaml.reader.ReaderError as error:
        place = source.at(error.position)
        raise Invalid([Diagnostic("PC102", f"the character U+{error.character:04X} is not allowed", place)]) from None
    loader.name = source.name  # every mark carries it: a node knows which text it came from
    try:
        node = _single(loader, source)
    except yaml.MarkedYAMLError as error:
        raise Invalid([_syntax(error, source)]) from None
    finally:
        loader.dispose()
    if node is not None:
        findings = check(node, source)
        if findings:
            raise Invalid(findings)
    return node


def _single(loader: TopologyLoader, source: Source) -> Node | None:
    loader.get_event()  # type: ignore[no-untyped-call]  # the start of the stream
    if loader.check_event(yaml.StreamEndEvent):
        return None
    node = loader.compose_document()
    if not loader.check_event(yaml.StreamEndEvent):
        mark = loader.peek_event().start_mark  # type: ignore[no-untyped-call]
        place = Place(source, Span(mark.line, mark.column, mark.line, mark.column + 3))
        mend = "keep one topology in a file"
        raise Invalid([Diagnostic("PC106", "a second document begins here; a topology is one document", place, mend)])
    return node


def _syntax(error: yaml.MarkedYAMLError, source: Source) -> Diagnostic:
    mark = error.problem_mark or error.context_mark
    assert mark is not None  # the scanner, the parser and the composer give one of them, always
    place = Place(source, Span(mark.line, mark.column, mark.line, mark.column + 1))
    code = "PC108" if isinstance(error, TooDeep) else "PC101"
    problem = (error.problem or "not valid YAML").replace("'\\t'", "a tab")
    context = f" {error.context}" if error.context else ""
    began = error.context_mark
    note = f" (begun in line {began.line + 1})" if began is not None and began.line != mark.line else ""
    mend = "indent with spaces, YAML allows no tabs there" if "a tab" in problem else ""
    return Diagnostic(code, f"not valid YAML: {problem}{context}{note}", place, mend)


def check(root: Node, source: Source) -> list[Diagnostic]:
    """What the graph of nodes has that a topology must not have."""
    walk = _Walk(source)
    values = walk.values(root)
    if values > MAX_VALUES and not walk.cyclic:
        message = f"with its aliases written out the file has more than {MAX_VALUES} values"
        walk.findings.append(Diagnostic("PC108", message, place_of(source, root), "write out what you need, once"))
    return walk.findings


class _Walk:
    """One visit of every node, however often aliases name it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.findings: list[Diagnostic] = []
        self.cyclic = False
        self._counted: dict[int, int] = {}  # node to the values that it stands for
        self._open: set[int] = set()

    def values(self, node: Node) -> int:
        if id(node) in self._open:
            self.cyclic = True
            place = place_of(self.source, node)
            self.findings.append(Diagnostic("PC107", "this value contains an alias of itself", place, "write it out"))
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
        """An escape may name what no text can have; whoever encodes it, or hands it to the kernel, would fail."""
        if NO_TEXT.search(node.value):
            message = "an escape here names a character that a text cannot have"
            self.findings.append(Diagnostic("PC102", message, place_of(self.source, node), "leave it out"))

    def _tag(self, node: Node, known: tuple[str, ...]) -> None:
        place = place_of(self.source, node)
        if node.tag not in known:
            tag = node.tag.replace(CORE, "!!")
            self.findings.append(Diagnostic("PC105", f'the tag "{tag}" has no meaning here', place, "leave it out"))
        elif isinstance(node, ScalarNode) and node.tag != STR and not PATTERNS[node.tag].match(node.value):
            message = f'"{node.value}" is not a value of the tag "{node.tag.replace(CORE, "!!")}"'
            self.findings.append(Diagnostic("PC105", message, place, "leave the tag out"))
        elif node.tag == INT and len(node.value) > 40:
            self.findings.append(Diagnostic("PC108", "a number of more than 40 digits", place))

    def _keys(self, node: MappingNode) -> None:
        seen: dict[str, Node] = {}
        for key, _ in node.value:
            place = place_of(self.source, key)
            if not isinstance(key, ScalarNode):
                self.findings.append(Diagnostic("PC109", "a key has to be plain text", place))
            elif key.value == "<<" and key.style is None:
                message = 'the merge key "<<" is not part of YAML 1.2'
                self.findings.append(Diagnostic("PC109", message, place, "write the keys out"))
            elif NO_TEXT.search(key.value):
                self._text(key)
            elif key.value in seen:
                self._twice(key, seen[key.value], place)
            else:
                seen[key.value] = key

    def _twice(self, key: ScalarNode, first: Node, place: Place) -> None:
        message = f'the key "{key.value}" is there twice, in line {first.start_mark.line + 1} and in line '
        message += f"{key.start_mark.line + 1}"
        related = (place_of(self.source, first),) if first.start_mark.line != key.start_mark.line else ()
        self.findings.append(Diagnostic("PC104", message, place, "keep one of the two", related))


def place_of(source: Source, node: Node) -> Place:
    """Where a node stands, without the line breaks that follow a block."""
    start, end = node.start_mark, node.end_mark
    if end.line > start.line and end.column == 0:  # a block ends where the next key begins
        return Place(source, Span(start.line, start.column, start.line, len(source.line(start.line).rstrip())))
    return Place(source, Span(start.line, start.column, end.line, end.column))


def construct(node: Node) -> Any:
    """Plain values: dict, list, str, int, float, bool, None. Only for nodes that were checked."""
    if isinstance(node, MappingNode):
        return {key.value: construct(value) for key, value in node.value}
    if isinstance(node, SequenceNode):
        return [construct(value) for value in node.value]
    return _scalar(node.tag, node.value)


def _scalar(tag: str, text: str) -> Any:
    if tag == NULL:
        return None
    if tag == BOOL:
        return text.lower() == "true"
    if tag == INT:
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text[2:] if base != 10 else text, base)
    if tag == FLOAT:
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
