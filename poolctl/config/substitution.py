"""Environment variables in a topology: ${NAME}, ${NAME:-default}, ${NAME:?message}, and $$ for a dollar sign.

They are substituted after parsing, in values but not in keys, so the content of a variable cannot become YAML, and
locations remain those of the file. A plain value is then resolved as YAML 1.2, so ``size: ${SIZE}`` is a number; a
quoted one remains a string. A bare $NAME is not substituted. The forms are a subset of POSIX parameter expansion (IEEE
Std 1003.1, 2.6.2), the same as in Docker Compose and the OpenTelemetry Collector.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from poolctl.config.core_schema import STR, resolved_tag
from poolctl.config.diagnostic import MAX_FINDINGS, Diagnostic, Place, SourceText
from poolctl.config.loader import MAX_BYTES
from poolctl.config.node_checks import NO_TEXT, place_of

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_IN_KEY = re.compile(r"(?<!\$)\$\{[A-Za-z_]")
_PART = re.compile(r"\$\$|\$\{([^{}]*)(\}?)")
_INSIDE = re.compile(rf"({_NAME})(?:(:-|:\?)(.*))?", re.DOTALL)
FORMS = "${NAME}, ${NAME:-default} or ${NAME:?message}, and $$ for a dollar sign"


class Substitution:
    """Substitutes variables in the values of one source.

    ``substituted`` has the nodes that contain variables, with the names of these; ``unusable`` has the nodes in which a
    variable could not be substituted. Both are keyed by the identity of the node.
    """

    def __init__(self, source: SourceText, variables: Mapping[str, str]) -> None:
        self.source = source
        self.variables = variables
        self.findings: list[Diagnostic] = []
        self.substituted: dict[int, tuple[Node, tuple[str, ...]]] = {}
        self.unusable: dict[int, Node] = {}
        self._seen: set[int] = set()
        self._room = MAX_BYTES

    def visit(self, node: Node) -> None:
        """Substitute variables in this node and those below it, once each however often aliases refer to them.

        Stops after MAX_FINDINGS findings.
        """
        if id(node) in self._seen or len(self.findings) >= MAX_FINDINGS:
            return
        self._seen.add(id(node))
        if isinstance(node, MappingNode):
            for key, value in node.value:
                if isinstance(key, ScalarNode) and _IN_KEY.search(key.value):
                    self._key(key)
                self.visit(value)
        elif isinstance(node, SequenceNode):
            for value in node.value:
                self.visit(value)
        elif isinstance(node, ScalarNode) and "$" in node.value:
            self._scalar(node)

    def _key(self, key: ScalarNode) -> None:
        """Report a variable in a key, which would otherwise be taken for an unknown key."""
        place = place_of(self.source, key)
        message = "variables are substituted in values, not in keys"
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Diagnostic("PC112", message, place, "write out the key"))
        self.unusable[id(key)] = key

    def _scalar(self, node: ScalarNode) -> None:
        names: list[str] = []
        before = len(self.findings)
        taken: dict[str, int] = {}  # where the last of several equal substitutions ends

        def put(found: re.Match[str]) -> str:
            if found[0] == "$$":
                return "$"
            place, taken[found[0]] = self._within(node, found[0], taken.get(found[0], 0))
            return self._value(found, place, names)

        text = _PART.sub(put, node.value)
        self._room -= len(text)
        if self._room < 0 and before == len(self.findings):
            message = f"with its variables substituted the file is larger than {MAX_BYTES >> 10} KiB"
            self.findings.append(Diagnostic("PC108", message, place_of(self.source, node), "shorten their values"))
        if before != len(self.findings):
            self.unusable[id(node)] = node
            return
        if names:
            self.substituted[id(node)] = node, tuple(names)
        node.value = text
        if node.tag == STR and node.style is None:
            node.tag = resolved_tag(text)

    def _value(self, found: re.Match[str], place: Place, names: list[str]) -> str:
        inside = _INSIDE.fullmatch(found[1]) if found[2] else None
        if inside is None:
            return self._malformed(found, place)
        name, form, rest = inside.groups()
        names.append(name)
        value = self.variables.get(name)
        if form == ":-":
            return value or str(rest)
        if form == ":?" and not value:
            return self._missing(name, f"the variable {name} is not set: {rest or 'it is required'}", place)
        if value is None:
            return self._missing(name, f"the variable {name} is not set", place)
        if NO_TEXT.search(value):
            self.findings.append(
                Diagnostic("PC112", f"the variable {name} is not valid UTF-8", place, "set it to valid UTF-8")
            )
        return value

    def _missing(self, name: str, message: str, place: Place) -> str:
        help_ = f"set it, or give a default: ${{{name}:-...}}"
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Diagnostic("PC111", message, place, help_))
        return ""

    def _malformed(self, found: re.Match[str], place: Place) -> str:
        if not found[2]:
            nested = self._nested(found)
            message = "substitutions cannot be nested" if nested else f'"{found[0]}" has no closing brace'
        else:
            message = f'"{found[0]}" is not a valid substitution'
        self.findings.append(Diagnostic("PC112", message, place, f"use {FORMS}"))
        return ""

    @staticmethod
    def _nested(found: re.Match[str]) -> bool:
        return found.string[found.end() : found.end() + 1] == "{"

    def _within(self, node: ScalarNode, text: str, after: int) -> tuple[Place, int]:
        """The location of a substitution, after the equal ones before it, and the index at which it ends; the location
        of the whole value where escapes or line breaks hide it."""
        index = self.source.text.find(text, max(node.start_mark.index, after), node.end_mark.index)
        if index < 0:
            return place_of(self.source, node), after
        return self.source.at(index, len(text)), index + len(text)
