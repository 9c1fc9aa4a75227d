"""One topology merged into another: JSON Merge Patch (RFC 7396) on nodes, which know where they were written.

Mappings are merged key by key, anything else replaces the value below, and null removes a key, so that its default
applies again. A component is a unit: a mapping that names another component replaces the one below with all its
options. ``pool: {size: 4}`` over ``pool: thread`` is ``{kind: thread, size: 4}``.
"""

from __future__ import annotations

from collections.abc import Mapping

from yaml.nodes import MappingNode, Node, ScalarNode

from poolctl.config.choice import given_name_key
from poolctl.config.core_schema import CORE, NULL, STR
from poolctl.config.model import AXES, SHORT

# The key that a plain word is short for.
WORD_KEY = dict.fromkeys(AXES, "use") | {"pool": "kind", "access_log": "format", "listen": "at"}
# Axes where another word has other options. The size of a pool suits any kind.
REPLACED = frozenset(AXES) - {"pool"}

Entry = tuple[Node, Node]


def merged(below: Node | None, over: Node, path: tuple[str, ...] = ()) -> Node | None:
    """The result of merging ``over`` into ``below``; None where it removes the value.

    Neither node is changed, because aliases may share them. ``path`` is their path in the topology.
    """
    if isinstance(over, ScalarNode) and over.tag == NULL and path:
        return None
    if not isinstance(over, MappingNode):
        return over
    key = path[0] if len(path) == 1 else ""
    base = _as_mapping(below, key)
    if key in AXES:
        base, over = _with_usual_name(base, key) if base else None, _with_usual_name(over, key)
    if key in SHORT and base is not None:
        base, over = _long_form(base, SHORT[key]), _long_form(over, SHORT[key])
    if base is not None and key in REPLACED and _names_another(base, over, key):
        base = None
    return _by_key(base, over, path)


def _by_key(base: MappingNode | None, over: MappingNode, path: tuple[str, ...]) -> MappingNode:
    entries: dict[str, Entry] = {name.value: (name, value) for name, value in base.value} if base else {}
    for name, value in over.value:
        had = entries.get(name.value)
        found = merged(had[1] if had else None, value, (*path, name.value))
        if found is None:
            entries.pop(name.value, None)
        elif had is not None and isinstance(had[1], MappingNode) and isinstance(found, MappingNode):
            entries[name.value] = had[0], found  # the entries inside know which file they come from
        else:
            entries[name.value] = name, found
    marks = base or over
    return MappingNode(CORE + "map", list(entries.values()), marks.start_mark, marks.end_mark)


def _as_mapping(node: Node | None, key: str) -> MappingNode | None:
    if isinstance(node, MappingNode):
        return node
    if isinstance(node, ScalarNode) and node.tag == STR and key in WORD_KEY:
        name = ScalarNode(STR, WORD_KEY[key], node.start_mark, node.end_mark)
        return MappingNode(CORE + "map", [(name, node)], node.start_mark, node.end_mark)
    return None


def _long_form(choice: MappingNode, words: Mapping[str, str]) -> MappingNode:
    """{wsgi: a:b} as {use: wsgi, target: a:b}, so that the two forms can be merged."""
    short = next((key for key, _ in choice.value if key.value in words), None)
    if short is None or any(key.value == "use" for key, _ in choice.value):
        return choice
    entries: list[Entry] = []
    for key, value in choice.value:
        if key is short:
            option = words[key.value]
            marks = key.start_mark, key.end_mark
            entries.append((ScalarNode(STR, "use", *marks), ScalarNode(STR, key.value, *marks)))
            entries.append((ScalarNode(STR, option, *marks), value))
        else:
            entries.append((key, value))
    return MappingNode(choice.tag, entries, choice.start_mark, choice.end_mark)


def _with_usual_name(choice: MappingNode, axis: str) -> MappingNode:
    """{kind: random} as {use: random}, and {use: thread} of a pool as {kind: thread}, so that the two can be merged."""
    keys = [key.value for key, _ in choice.value]
    usual, given = WORD_KEY[axis], given_name_key(axis, dict.fromkeys(keys))
    if given == usual or given not in keys:
        return choice
    entries: list[Entry] = [
        (ScalarNode(STR, usual, key.start_mark, key.end_mark) if key.value == given else key, value)
        for key, value in choice.value
    ]
    return MappingNode(choice.tag, entries, choice.start_mark, choice.end_mark)


def _names_another(base: MappingNode, over: MappingNode, axis: str) -> bool:
    """Whether both name a component, and not the same one."""
    mine, its = _component(over, axis), _component(base, axis)
    return mine is not None and its is not None and mine != its


def _component(node: MappingNode, axis: str) -> str | None:
    return next((str(value.value) for key, value in node.value if key.value == WORD_KEY[axis]), None)
