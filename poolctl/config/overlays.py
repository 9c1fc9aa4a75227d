"""What is put over the file: further files, and options of the command line, which are overlays of one key."""

from __future__ import annotations

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from poolctl.config.diagnostic import Diagnostic, Invalid, Place, Span
from poolctl.config.loader import CORE, NULL, STR, place_of
from poolctl.config.merge import WORD_KEY, merged
from poolctl.config.parse import parsed
from poolctl.config.sources import mark, option, read_source
from poolctl.config.tree import Tree


def overlay(tree: Tree, path: str) -> None:
    """A further file, as of -f. Raises Invalid, Unreadable."""
    source = read_source(path, "-f names a file whose keys replace those of the first one")
    node = parsed(tree, source)
    if node is None:
        return
    if not isinstance(node, MappingNode):
        message = "an overlay is a mapping of keys, as a topology is"
        raise Invalid([Diagnostic("PC201", message, place_of(source, node), "for instance limits: {connections: 500}")])
    _put_over(tree, node)


def _put_over(tree: Tree, over: MappingNode) -> None:
    """A root of another shape stays, and is refused as such."""
    if tree.root is None or isinstance(tree.root, MappingNode):
        tree.root = merged(tree.root, over)


def option_set(tree: Tree, text: str) -> None:
    """KEY=VALUE, as of --set. Raises Invalid."""
    source = option(f"--set {text}")
    keys, separator, value = text.partition("=")
    whole = Place(source, Span(0, 6, 0, len(source.text)))
    parts = keys.split(".")
    if not separator or not all(part.strip() == part != "" for part in parts) or "\n" in text:
        message = f'"{text}" is not of the form KEY=VALUE in one line'
        raise Invalid([Diagnostic("PC110", message, whole, "for instance --set pool.size=4")])
    start = len(source.text) - len(value)
    node = parsed(tree, source, blank=start) if value.strip() else None
    tree.sources[source.name] = source
    if node is None:
        end = mark(source, len(source.text))
        node = ScalarNode(NULL, "", end, end)
    _enterable(tree.root, parts, whole)
    column = len("--set ") + len(keys)
    for part in reversed(parts):
        column -= len(part)
        key = ScalarNode(STR, part, mark(source, column), mark(source, column + len(part)))
        node = MappingNode(CORE + "map", [(key, node)], key.start_mark, node.end_mark)
        column -= 1
    assert isinstance(node, MappingNode)
    _put_over(tree, node)


def _enterable(node: Node | None, parts: list[str], whole: Place) -> None:
    """A key cannot be put into a list, and not into a value that no mapping can stand for. Raises Invalid."""
    for depth, part in enumerate(parts[:-1]):
        if not isinstance(node, MappingNode):
            return
        node = next((value for key, value in node.value if key.value == part), None)
        what = ""
        if isinstance(node, SequenceNode):
            what = "a list"
        elif isinstance(node, ScalarNode) and node.tag != NULL and not (depth == 0 and part in WORD_KEY):
            what = "one value"
        if what:
            there = ".".join(parts[: depth + 1])
            message = f'"{".".join(parts)}" cannot be set: {there} is {what} and has no key "{parts[depth + 1]}"'
            raise Invalid([Diagnostic("PC110", message, whole, f"set all of it: --set {there}=...")])


def listen(tree: Tree, addresses: tuple[str, ...]) -> None:
    """Addresses in place of the file's, as of --listen. Raises Invalid."""
    nodes: list[Node] = []
    for address in addresses:
        source = option(f"--listen {address}")
        tree.sources[source.name] = source
        nodes.append(ScalarNode(STR, address, mark(source, len("--listen ")), mark(source, len(source.text))))
    if nodes:
        key = ScalarNode(STR, "listen", nodes[0].start_mark, nodes[0].end_mark)
        value = SequenceNode(CORE + "seq", nodes, nodes[0].start_mark, nodes[-1].end_mark)
        _put_over(tree, MappingNode(CORE + "map", [(key, value)], key.start_mark, value.end_mark))
