"""Overlays of the file: further files, and options of the command line, which are overlays of one key."""

from __future__ import annotations

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from poolctl.config.core_schema import CORE, NULL, STR
from poolctl.config.diagnostic import Diagnostic, Invalid, Place, Span
from poolctl.config.merge import WORD_KEY, merged
from poolctl.config.node_checks import place_of
from poolctl.config.parse import parse_source
from poolctl.config.sources import mark, option, read_source
from poolctl.config.tree import Tree


def overlay_file(tree: Tree, path: str) -> None:
    """Merge a further file, as with -f, into the tree. Raises Invalid, Unreadable."""
    source = read_source(path, "name a file whose keys override those of the topology")
    node = parse_source(tree, source)
    if node is None:
        return
    if not isinstance(node, MappingNode):
        message = "an overlay must be a mapping of keys, like a topology"
        raise Invalid([Diagnostic("PC201", message, place_of(source, node), "for instance limits: {connections: 500}")])
    _merge(tree, node)


def _merge(tree: Tree, over: MappingNode) -> None:
    """Merge a mapping into the root. A root of another shape stays, and is reported as such later."""
    if tree.root is None or isinstance(tree.root, MappingNode):
        tree.root = merged(tree.root, over)


def overlay_set(tree: Tree, text: str) -> None:
    """Merge KEY=VALUE, as with --set, into the tree. Raises Invalid."""
    source = option(f"--set {text}")
    keys, separator, value = text.partition("=")
    whole = Place(source, Span(0, 6, 0, len(source.text)))
    parts = keys.split(".")
    if not separator or not all(part.strip() == part != "" for part in parts) or "\n" in text:
        message = f'"{text}" is not of the form KEY=VALUE on one line'
        raise Invalid([Diagnostic("PC110", message, whole, "for instance --set pool.size=4")])
    start = len(source.text) - len(value)
    node = parse_source(tree, source, blank=start) if value.strip() else None
    tree.sources[source.name] = source
    if node is None:
        end = mark(source, len(source.text))
        node = ScalarNode(NULL, "", end, end)
    _check_parents(tree.root, parts, whole)
    column = len("--set ") + len(keys)
    for part in reversed(parts):
        column -= len(part)
        key = ScalarNode(STR, part, mark(source, column), mark(source, column + len(part)))
        node = MappingNode(CORE + "map", [(key, node)], key.start_mark, node.end_mark)
        column -= 1
    assert isinstance(node, MappingNode)
    _merge(tree, node)


def _check_parents(node: Node | None, parts: list[str], whole: Place) -> None:
    """Raises Invalid where a key would be set inside a list, or inside a value that is not short for a mapping."""
    for depth, part in enumerate(parts[:-1]):
        if not isinstance(node, MappingNode):
            return
        node = next((value for key, value in node.value if key.value == part), None)
        what = ""
        if isinstance(node, SequenceNode):
            what = "a list"
        elif isinstance(node, ScalarNode) and node.tag != NULL and not (depth == 0 and part in WORD_KEY):
            what = "a single value"
        if what:
            there = ".".join(parts[: depth + 1])
            message = f'"{".".join(parts)}" cannot be set: {there} is {what} and has no key "{parts[depth + 1]}"'
            raise Invalid([Diagnostic("PC110", message, whole, f"set the whole value: --set {there}=...")])


def overlay_listen(tree: Tree, addresses: tuple[str, ...]) -> None:
    """Replace the file's addresses, as with --listen. Raises Invalid."""
    nodes: list[Node] = []
    for address in addresses:
        source = option(f"--listen {address}")
        tree.sources[source.name] = source
        nodes.append(ScalarNode(STR, address, mark(source, len("--listen ")), mark(source, len(source.text))))
    if nodes:
        key = ScalarNode(STR, "listen", nodes[0].start_mark, nodes[0].end_mark)
        value = SequenceNode(CORE + "seq", nodes, nodes[0].start_mark, nodes[-1].end_mark)
        _merge(tree, MappingNode(CORE + "map", [(key, value)], key.start_mark, value.end_mark))
