"""The core schema of YAML 1.2: which type a scalar has by its text (YAML 1.2.2, 10.3.2), and its value."""

from __future__ import annotations

import re
from typing import Any

from yaml.nodes import MappingNode, Node, SequenceNode

CORE = "tag:yaml.org,2002:"
NULL, BOOL, INT, FLOAT, STR = (CORE + name for name in ("null", "bool", "int", "float", "str"))
# `no`, `22:22` and `2026-01-01` are text.
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
PATTERNS = {tag: pattern for tag, pattern, _ in RESOLUTION}


def resolved_tag(text: str) -> str:
    """The tag of a plain scalar with this text in YAML 1.2."""
    return next((tag for tag, pattern, _ in RESOLUTION if pattern.match(text)), STR)


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
