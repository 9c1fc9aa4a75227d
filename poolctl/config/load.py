"""From a file and the overlays of the command line to a topology with the location of every word."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from poolctl.config.access_log import AccessLogSection
from poolctl.config.choice import example, is_target, read_choice
from poolctl.config.classes import ClassEntry
from poolctl.config.diagnostic import Diagnostic, Invalid, Label
from poolctl.config.forwarded import ForwardedSection
from poolctl.config.gather import gather
from poolctl.config.listen import Entry
from poolctl.config.model import AXES, SHORT, Choice, LimitsSection, TimeoutsSection, Topology
from poolctl.config.overload import OverloadSection
from poolctl.config.part import without_plugins
from poolctl.config.pool_keys import RecycleSection, ReloadSection, ScaleSection
from poolctl.config.sources import Inputs, default_name
from poolctl.config.tls import Certificate, Clients, Tls
from poolctl.config.tree import Path, Tree
from poolctl.config.typos import Shape, correct_typos
from poolctl.config.validation_errors import findings
from poolctl.config.value_help import shown


class Document(NamedTuple):
    """A topology, and the tree with the location of each of its words."""

    topology: Topology
    tree: Tree


class Draft(NamedTuple):
    """What is known about a file, valid or not: its findings so far, and the axes that could be read."""

    tree: Tree
    choices: dict[str, Choice]
    findings: list[Diagnostic]
    topology: Topology | None  # None when there are findings


def load(path: str, sets: Sequence[str] = (), listen: Sequence[str] = (), overlays: Sequence[str] = ()) -> Document:
    """The topology of a file. ``sets`` are KEY=VALUE as for --set; ``listen`` are addresses that replace the file's.

    Raises Invalid with everything that is wrong, and Unreadable when a file cannot be read.
    """
    read = draft(Inputs(path, tuple(overlays), tuple(sets), tuple(listen)))
    if read.topology is None:
        raise Invalid(read.tree.report(read.findings))
    return Document(read.topology, read.tree)


def draft(inputs: Inputs) -> Draft:
    """The draft of a topology, with the findings about its content. Raises Invalid when it is not YAML, Unreadable
    when a file cannot be read."""
    return examine(gather(inputs), default_name(inputs.file))


def examine(tree: Tree, name: str) -> Draft:
    """The draft of a tree: everything that can be found out from the words alone."""
    correct_typos(tree, Shape(_keys_of, _owners_of))
    value = tree.value()
    if not isinstance(value, dict) or not value.keys() & Topology.model_fields.keys():
        from poolctl.config.other_formats import other_format  # few files are in another format

        other = other_format(tree.file, "PC201")
        if other is not None:
            tree.findings.clear()
            return Draft(tree, {}, [other], None)
    if not isinstance(value, dict):
        message = f"a topology is a mapping of keys, not {shown(value)}"
        message = "the file is empty: a topology needs at least an app" if tree.root is None else message
        help_ = f"write {_shortest(value)}"
        return Draft(tree, {}, [Diagnostic("PC201", message, tree.at_value(()), help_)], None)
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
        with without_plugins():
            topology = Topology.model_validate(data | choices)
    except ValidationError as error:
        details = [each for each in error.errors() if not (each["type"] == "missing" and each["loc"][0] in faulty)]
        located = [(tuple(each["loc"]), each) for each in details]
        return Draft(tree, choices, found_in_axes + findings(tree, located, _keys, _suggest), None)
    found = found_in_axes + _duplicate_addresses(topology, tree)
    return Draft(tree, choices, found, None if found or tree.findings else topology)


def _shortest(value: Any) -> str:
    """The shortest topology for a value that is not a mapping, with the app that it names, if any."""
    if isinstance(value, str) and is_target(value):
        return f"app: {{wsgi: {value}}}"
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        return "the keys without the dashes"
    return example("app")


NESTED: dict[str, type[BaseModel]] = {
    "limits": LimitsSection,
    "timeouts": TimeoutsSection,
    "listen": Entry,
    "access_log": AccessLogSection,
    "forwarded": ForwardedSection,
    "overload": OverloadSection,
    "classes": ClassEntry,
    "recycle": RecycleSection,
    "scale": ScaleSection,
    "reload": ReloadSection,
}


MAPPINGS = (*AXES, *NESTED, "environment")
# The keys that the mapping of an axis may have whatever its word is.
INSIDE = {axis: {"use", "kind", *SHORT.get(axis, ())} for axis in AXES} | {"pool": {"use", "kind", "size", "threads"}}


OWNERS: dict[Path, Collection[str]] = {
    (): MAPPINGS,
    ("listen",): ("tls", "protocol"),
    ("listen", "tls"): ("clients", "names"),
}


def _keys_of(path: Path) -> Collection[str] | None:
    """The keys of the mapping at a path, as far as they are known before the word of its axis; None: any keys."""
    if len(path) == 1 and path[0] in INSIDE:
        return INSIDE[str(path[0])]
    if not path or path[0] in NESTED:
        return _keys(path) if len(path) < 2 or path[:2] == ("listen", "tls") else None
    return None


def _owners_of(path: Path) -> Collection[str]:
    """Those of its keys that hold a mapping."""
    return OWNERS.get(path, ())


def _suggest(key: str, around: Any) -> str:
    from poolctl.config.suggestions import suggest_key  # only findings need it

    return suggest_key(key, NESTED, around)


def _keys(path: tuple[str | int, ...]) -> list[str]:
    part = NESTED[str(path[0])] if path else Topology
    if "tls" in path:
        (inner,) = path[path.index("tls") + 1 :][:1] or ("",)
        within: dict[str, type[BaseModel]] = {"clients": Clients, "names": Certificate}
        part = within.get(str(inner), Tls)
    return list(part.model_fields)


def _duplicate_addresses(topology: Topology, tree: Tree) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    first: dict[object, int] = {}
    for index, address in enumerate(topology.listen):
        if address.fixed and address in first:
            message = f"listen: duplicate address {address}"
            related = (Label(tree.at_value(("listen", first[address])), "first given here"),)
            found.append(Diagnostic("PC302", message, tree.at_value(("listen", index)), "keep one of the two", related))
        first.setdefault(address, index)
    return found
