"""Variables of the environment in a topology: ${NAME}, ${NAME:-default}, ${NAME:?message}, and $$ for one dollar.

They are put in after parsing, into values and not into keys, so nothing that a variable holds can become YAML, and
places stay those of the file. A plain value is then what YAML 1.2 reads in it, ``size: ${SIZE}`` a number; one in
quotes stays text. A bare $NAME is text like any other. The forms are those of POSIX's parameter expansion (IEEE Std
1003.1, 2.6.2), of which Docker Compose and the OpenTelemetry Collector have the same part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from poolctl.config.diagnostic import MOST, Diagnostic, Place, Source
from poolctl.config.loader import MAX_BYTES, NO_TEXT, STR, place_of, resolved_tag

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_IN_KEY = re.compile(r"(?<!\$)\$\{[A-Za-z_]")
_PART = re.compile(r"\$\$|\$\{([^{}]*)(\}?)")
_INSIDE = re.compile(rf"({_NAME})(?:(:-|:\?)(.*))?", re.DOTALL)
FORMS = "${NAME}, ${NAME:-default} and ${NAME:?message}; a dollar is $$"


class Substitution:
    """One source's values with the variables put in.

    ``substituted`` has the nodes that were made with variables and their names, ``unusable`` those where one could not
    be put in; both by the identity of the node.
    """

    def __init__(self, source: Source, variables: Mapping[str, str]) -> None:
        self.source = source
        self.variables = variables
        self.findings: list[Diagnostic] = []
        self.substituted: dict[int, tuple[Node, tuple[str, ...]]] = {}
        self.unusable: dict[int, Node] = {}
        self._seen: set[int] = set()
        self._room = MAX_BYTES

    def visit(self, node: Node) -> None:
        """Put variables into this node and those below it, each once however often aliases name it.

        After MOST findings what is left stays as it is.
        """
        if id(node) in self._seen or len(self.findings) >= MOST:
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
        """Left as it is, it would be an odd name for a variable, or an unknown key."""
        place = place_of(self.source, key)
        message = "variables are substituted in values, not in keys"
        if len(self.findings) < MOST:
            self.findings.append(Diagnostic("PC112", message, place, "write the key itself"))
        self.unusable[id(key)] = key

    def _scalar(self, node: ScalarNode) -> None:
        names: list[str] = []
        before = len(self.findings)
        taken: dict[str, int] = {}  # of equal ones, where the last one ends

        def put(found: re.Match[str]) -> str:
            if found[0] == "$$":
                return "$"
            place, taken[found[0]] = self._within(node, found[0], taken.get(found[0], 0))
            return self._value(found, place, names)

        text = _PART.sub(put, node.value)
        self._room -= len(text)
        if self._room < 0 and before == len(self.findings):
            message = f"with its variables substituted the file is larger than {MAX_BYTES >> 10} KiB"
            self.findings.append(Diagnostic("PC108", message, place_of(self.source, node), "shorten the variables"))
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
                Diagnostic("PC112", f"the variable {name} has bytes that are not UTF-8", place, "set it to a text")
            )
        return value

    def _missing(self, name: str, message: str, place: Place) -> str:
        help_ = f"set it, or give a default: ${{{name}:-...}}"
        if len(self.findings) < MOST:
            self.findings.append(Diagnostic("PC111", message, place, help_))
        return ""

    def _malformed(self, found: re.Match[str], place: Place) -> str:
        if not found[2]:
            nested = self._nested(found)
            message = "substitutions cannot be nested" if nested else f'"{found[0]}" has no closing brace'
        else:
            message = f'"{found[0]}" is not a substitution'
        self.findings.append(Diagnostic("PC112", message, place, f"the forms are {FORMS}"))
        return ""

    @staticmethod
    def _nested(found: re.Match[str]) -> bool:
        return found.string[found.end() : found.end() + 1] == "{"

    def _within(self, node: ScalarNode, text: str, after: int) -> tuple[Place, int]:
        """Where a substitution stands, past the equal ones before it, and where it ends; the whole value, where escapes
        or line breaks hide it."""
        index = self.source.text.find(text, max(node.start_mark.index, after), node.end_mark.index)
        if index < 0:
            return place_of(self.source, node), after
        return self.source.at(index, len(text)), index + len(text)
