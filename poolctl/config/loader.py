"""YAML with the core types of YAML 1.2 to nodes with locations. What stock PyYAML accepts silently is refused.

A topology is composed, not constructed: every check works on the graph of nodes, before values are built from it, so a
small file that expands to millions of values costs nothing.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from poolctl.config.diagnostic import Diagnostic, Invalid, Label, Place, SourceText, Span

# A topology takes a few lines, far below these bounds; they keep the cost of any file below 200 ms.
MAX_BYTES = 64 << 10
MAX_NODES = 3_000  # values as written
MAX_VALUES = 10_000  # values with all aliases expanded
MAX_DEPTH = 64
TOO_DEEP = f"the file is nested more than {MAX_DEPTH} levels deep"

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
NO_TEXT = re.compile("[\x00\ud800-\udfff]")  # cannot be encoded or passed to the kernel
ODD = re.compile("[\u00a0-\u00bb\u1680\u2000-\u2060\u3000\ufeff]")  # includes all that config.invisible knows
PATTERNS = {tag: pattern for tag, pattern, _ in RESOLUTION}


class TopologyLoader(yaml.SafeLoader):
    """The pure Python loader (it shows snippets; topologies are small) with the types of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # as the base has it
    depth = 0
    nodes = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        self.nodes += 1
        if self.depth >= MAX_DEPTH:
            raise self._too_much(TOO_DEEP)
        if self.nodes > MAX_NODES:
            raise self._too_much(f"the file has more than {MAX_NODES} values")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        # The scanner reads ahead as long as a bracket may begin a key, and scans all open brackets for each token.
        if self.flow_level >= MAX_DEPTH:
            raise TooMuch(None, None, TOO_DEEP, self.get_mark())
        super().fetch_flow_collection_start(token)

    def _too_much(self, problem: str) -> TooMuch:
        """An exception like the parser's own, so that it has a location like they do."""
        return TooMuch(None, None, problem, self.peek_event().start_mark)  # type: ignore[no-untyped-call]


for _tag, _pattern, _first in RESOLUTION:
    TopologyLoader.add_implicit_resolver(_tag, _pattern, _first)


class TooMuch(yaml.MarkedYAMLError):
    """The file has more levels or values than a topology could need."""


def resolved_tag(text: str) -> str:
    """The tag of a plain scalar with this text in YAML 1.2."""
    return next((tag for tag, pattern, _ in RESOLUTION if pattern.match(text)), STR)


class Parsed(NamedTuple):
    """A document, the findings about its nodes, and the nodes whose values are not what was meant, by identity."""

    node: Node | None
    findings: list[Diagnostic]
    unusable: dict[int, Node]


def parse(source: SourceText, blank: int = 0) -> Node | None:
    """The one document of a text; None when it is empty. Raises Invalid with everything that is wrong with it."""
    parsed = compose(source, blank)
    if parsed.findings:
        raise Invalid(parsed.findings)
    return parsed.node


def compose(source: SourceText, blank: int = 0) -> Parsed:
    """The one document of a text, as far as it can be read, and what is wrong with the rest.

    The first ``blank`` characters belong to the command line and are not YAML. Raises Invalid where nothing can be
    read.
    """
    text = " " * blank + source.text[blank:]
    if ODD.search(text):
        from poolctl.config import invisible  # few texts have such characters

        node, found = invisible.compose(source, text, lambda text: _read(source, text))
    else:
        try:
            node, found = _read(source, text), []
        except Invalid as invalid:
            from poolctl.config.recovery import recover  # few texts have syntax errors

            rest = recover(text, invalid.diagnostics[0], lambda entry: _read(source, entry)) if not blank else None
            if rest is None:
                raise
            parsed = check(rest.node, source)
            return Parsed(rest.node, [*rest.findings, *parsed.findings], rest.unusable | parsed.unusable)
    parsed = Parsed(None, [], {}) if node is None else check(node, source)
    return parsed._replace(findings=[*found, *parsed.findings])


def _read(source: SourceText, text: str) -> Node | None:
    try:
        loader = TopologyLoader(text)
    except yaml.reader.ReaderError as error:
        place = source.at(error.position)
        message = f"the character U+{error.character:04X} is not allowed"
        help_ = "remove it, or write it as an escape in double quotes"
        raise Invalid([Diagnostic("PC102", message, place, help_)]) from None
    loader.name = source.name  # every mark carries it: a node knows which text it came from
    try:
        return _single(loader, source)
    except TooMuch as error:
        raise Invalid([_too_much(error, source)]) from None
    except yaml.MarkedYAMLError as error:
        from poolctl.config.syntax import diagnosis  # only syntax errors need it

        raise Invalid([diagnosis(error, source)]) from None
    finally:
        loader.dispose()


def _single(loader: TopologyLoader, source: SourceText) -> Node | None:
    loader.get_event()  # type: ignore[no-untyped-call]  # the start of the stream
    if loader.check_event(yaml.StreamEndEvent):
        return None
    node = loader.compose_document()
    if not loader.check_event(yaml.StreamEndEvent):
        mark = loader.peek_event().start_mark  # type: ignore[no-untyped-call]
        place = Place(source, Span(mark.line, mark.column, mark.line, mark.column + 3))
        message = "a second document begins here, but a topology is a single document"
        raise Invalid([Diagnostic("PC106", message, place, "keep one topology per file")])
    return node


def _too_much(error: TooMuch, source: SourceText) -> Diagnostic:
    mark = error.problem_mark
    assert mark is not None
    place = Place(source, Span(mark.line, mark.column, mark.line, mark.column + 1))
    return Diagnostic("PC108", str(error.problem), place, "check that this is the right file: a topology is small")


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


def construct(node: Node) -> Any:
    """The plain value of a checked node: dict, list, str, int, float, bool or None."""
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
