"""YAML with the core types of YAML 1.2 to nodes with locations. What stock PyYAML accepts silently is refused.

A topology is composed, not constructed: every check works on the graph of nodes, before values are built from it, so a
small file that expands to millions of values costs nothing.
"""

from __future__ import annotations

import re

import yaml
from yaml.nodes import Node

from poolctl.config.core_schema import RESOLUTION
from poolctl.config.diagnostic import Diagnostic, Invalid, Place, SourceText, Span
from poolctl.config.node_checks import Parsed, check

# A topology takes a few lines, far below these bounds; they keep the cost of any file below 200 ms.
MAX_BYTES = 64 << 10
MAX_NODES = 3_000  # values as written
MAX_DEPTH = 64
TOO_DEEP = f"the file is nested more than {MAX_DEPTH} levels deep"
ODD = re.compile("[\u00a0-\u00bb\u1680\u2000-\u2060\u3000\ufeff]")  # includes all that config.invisible knows


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
