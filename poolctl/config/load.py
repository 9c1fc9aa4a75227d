"""From a file, and what the command line puts over it, to a topology with the place of every word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel, ValidationError
from yaml.error import Mark
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from poolctl.config.access_log import AccessLog
from poolctl.config.choice import example, read_choice
from poolctl.config.diagnostic import Diagnostic, Invalid, Place, Source, Span, Unreadable
from poolctl.config.forwarded import Forwarded
from poolctl.config.listen import Entry
from poolctl.config.loader import CORE, MAX_BYTES, NO_TEXT, STR, parse
from poolctl.config.model import AXES, Choice, Limits, Timeouts, Topology
from poolctl.config.tls import Certificate, Clients, Tls
from poolctl.config.tree import Tree, replaced
from poolctl.config.wording import findings, shown


@dataclass(frozen=True)
class Document:
    """A topology and where each of its words stands."""

    topology: Topology
    tree: Tree


@dataclass(frozen=True)
class Draft:
    """What can be said of a file, valid or not: its findings so far, and the axes that are readable."""

    tree: Tree
    choices: dict[str, Choice]
    findings: list[Diagnostic]
    topology: Topology | None  # None when there are findings


def load(path: str, sets: Sequence[str] = (), listen: Sequence[str] = ()) -> Document:
    """The topology of a file. ``sets`` are KEY=VALUE as of --set, ``listen`` addresses in place of the file's.

    Raises Invalid with everything that is wrong, Unreadable when there is no such file.
    """
    read = draft(path, sets, listen)
    if read.topology is None:
        raise Invalid(read.findings)
    return Document(read.topology, read.tree)


def draft(path: str, sets: Sequence[str] = (), listen: Sequence[str] = ()) -> Draft:
    """As load, but findings about the content are returned. Raises Invalid when it is no YAML, and Unreadable."""
    source = read_source(path)
    tree = Tree(source, parse(source))
    put_over(tree, sets, listen)
    return examine(tree, default_name(path))


def read_source(path: str) -> Source:
    """The text of a file of at most 1 MiB of UTF-8."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Unreadable(f"{path}: cannot be read: {error.strerror}") from error
    start = Place(Source(path, ""), Span(0, 0, 0, 1))
    if len(data) > MAX_BYTES:
        raise Invalid([Diagnostic("PC103", f"the file is larger than {MAX_BYTES >> 20} MiB", start)])
    try:
        return Source(path, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        good = Source(path, data[: error.start].decode("utf-8-sig"))
        message = f"byte {error.start} is not UTF-8 (0x{data[error.start]:02x})"
        raise Invalid([Diagnostic("PC102", message, good.at(len(good.text)), "save the file as UTF-8")]) from None


def default_name(path: str) -> str:
    """The file's stem, with what a name may not have replaced."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", FilePath(path).stem)[:64] or "poolctl"


def put_over(tree: Tree, sets: Sequence[str], listen: Sequence[str]) -> None:
    """Apply the command line's options. Raises Invalid with all that cannot be applied."""
    failed: list[Diagnostic] = []
    for text in sets:
        try:
            _put(tree, text)
        except Invalid as invalid:
            failed += invalid.diagnostics
    if listen and not failed:
        nodes = [_listen_node(tree, address) for address in listen]
        value = SequenceNode(CORE + "seq", nodes, nodes[0].start_mark, nodes[-1].end_mark)
        key = ScalarNode(STR, "listen", nodes[0].start_mark, nodes[0].end_mark)
        tree.root = replaced(_mapping(tree.root), [key], value, [])
    if failed:
        raise Invalid(failed)


def _put(tree: Tree, text: str) -> None:
    source = Source(f"--set {text}", f"--set {text}", is_file=False)
    tree.sources[source.name] = source
    _decoded(source)
    keys, separator, value = text.partition("=")
    whole = Place(source, Span(0, 6, 0, len(source.text)))
    if not separator or not all(part.strip() == part != "" for part in keys.split(".")) or "\n" in text:
        message = f'"{text}" is not of the form KEY=VALUE in one line'
        raise Invalid([Diagnostic("PC110", message, whole, "for instance --set pool.size=4")])
    start = len(source.text) - len(value)
    node = parse(source, blank=start) if value.strip() else None
    if node is None:
        mark = _mark(source, len(source.text))
        node = ScalarNode(CORE + "null", "", mark, mark)
    path, column = [], len("--set ")
    for part in keys.split("."):
        path.append(ScalarNode(STR, part, _mark(source, column), _mark(source, column + len(part))))
        column += len(part) + 1
    try:
        tree.root = replaced(_mapping(tree.root), path, node, [])
    except ValueError as error:
        message = f'"{keys}" cannot be set: what is there is a list and has no key "{error}"'
        raise Invalid([Diagnostic("PC110", message, whole, "set the whole list")]) from None


def _mapping(root: Node | None) -> Node | None:
    """What options can be put over; a root of another shape stays, and is refused as such."""
    return root if isinstance(root, MappingNode) else None


def _listen_node(tree: Tree, address: str) -> ScalarNode:
    source = Source(f"--listen {address}", f"--listen {address}", is_file=False)
    tree.sources[source.name] = source
    _decoded(source)
    return ScalarNode(STR, address, _mark(source, len("--listen ")), _mark(source, len(source.text)))


def _decoded(source: Source) -> None:
    """Bytes of the command line that are no text arrive as surrogates (PEP 383)."""
    found = NO_TEXT.search(source.text)
    if found:
        message = f"{source.text.split(' ')[0]}: a byte that is not of the locale's encoding"
        raise Invalid([Diagnostic("PC102", message, source.at(found.start()))])


def _mark(source: Source, column: int) -> Mark:
    return Mark(source.name, column, 0, column, None, column)


def examine(tree: Tree, name: str) -> Draft:
    """Everything that can be said of the words alone."""
    value = tree.value()
    if not isinstance(value, dict):
        message = f"a topology is a mapping of keys, not {shown(value)}"
        found = Diagnostic("PC201", message, tree.at_value(()), f"the shortest one is {example('app')}")
        return Draft(tree, {}, [found], None)
    data: dict[str, Any] = {"name": name} | {key: part for key, part in value.items() if not key.startswith("x-")}
    choices: dict[str, Choice] = {}
    found_in_axes: list[Diagnostic] = []
    for axis in AXES:
        if axis in data:
            read = read_choice(axis, data.pop(axis), tree)
            if isinstance(read, Choice):
                choices[axis] = read
            else:
                found_in_axes.append(read)
    faulty = {finding_axis for finding_axis in AXES if finding_axis in value and finding_axis not in choices}
    try:
        topology = Topology.model_validate(data | choices)
    except ValidationError as error:
        details = [each for each in error.errors() if not (each["type"] == "missing" and each["loc"][0] in faulty)]
        located = [(tuple(each["loc"]), each) for each in details]
        return Draft(tree, choices, found_in_axes + findings(tree, located, _keys), None)
    twice = _twice(topology, tree)
    return Draft(tree, choices, found_in_axes + twice, None if found_in_axes or twice else topology)


def _keys(path: tuple[str | int, ...]) -> list[str]:
    found: dict[str, type[BaseModel]] = {
        "limits": Limits,
        "timeouts": Timeouts,
        "listen": Entry,
        "access_log": AccessLog,
        "forwarded": Forwarded,
    }
    part = found[str(path[0])] if path else Topology
    if "tls" in path:
        (inner,) = path[path.index("tls") + 1 :][:1] or ("",)
        within: dict[str, type[BaseModel]] = {"clients": Clients, "names": Certificate}
        part = within.get(str(inner), Tls)
    return list(part.model_fields)


def _twice(topology: Topology, tree: Tree) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    first: dict[object, int] = {}
    for index, address in enumerate(topology.listen):
        if address.fixed and address in first:
            message = f"listen: {address} is there twice"
            related = (tree.at_value(("listen", first[address])),)
            found.append(Diagnostic("PC302", message, tree.at_value(("listen", index)), "keep one of the two", related))
        first.setdefault(address, index)
    return found
