"""From a document's words to the parts of a server, and everything that is wrong with them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from poolctl.assembly import size
from poolctl.assembly.combination import Combination, Service, complete
from poolctl.assembly.of_requests import of_requests
from poolctl.assembly.options import make
from poolctl.assembly.registry import part_class, words
from poolctl.assembly.rules import differing, fits, nearest
from poolctl.config.choice import path_of_option, place_of_name
from poolctl.config.diagnostic import Diagnostic, Invalid, Place
from poolctl.config.load import Document, draft
from poolctl.config.model import Choice, Topology
from poolctl.config.tree import Tree
from poolctl.config.wording import mend
from poolctl.runtime.app import App
from poolctl.runtime.protocol import Protocol

POOL_OPTIONS = ("size", "threads")
OWNERSHIP_OPTIONS = ("accept", "lock")


@dataclass(frozen=True)
class Parts:
    """One server's parts, checked and fitting. Under a baseline there is no ownership and no dispatch."""

    topology: Topology
    combination: Combination
    workers: int  # processes or threads of the pool, `auto` counted out; 0 under a baseline
    pool: Any
    ownership: Any | None
    dispatch: Any | None
    affinity: Any
    protocols: tuple[Protocol, ...]  # one for each address
    app: App

    @property
    def protocol(self) -> Protocol:
        """That of the first address. All of one server are of the same class: the one that its app speaks."""
        return self.protocols[0]


def resolve(document: Document) -> Parts:
    """The parts of a topology. Raises Invalid with all that is unknown, wrong or does not fit together."""
    found = _Resolution(document.tree, document.topology.choices(), document.topology)
    if found.diagnostics or found.combination is None:
        raise Invalid(found.diagnostics)
    return found.parts(document.topology)


def read(path: str, sets: Sequence[str] = (), listen: Sequence[str] = ()) -> Parts:
    """From file to parts. Unlike load and then resolve it finds what is wrong in both steps at once."""
    read = draft(path, sets, listen)
    found = _Resolution(read.tree, read.choices, read.topology)
    diagnostics = [*read.findings, *found.diagnostics]
    if diagnostics or read.topology is None:
        raise Invalid(diagnostics)
    return found.parts(read.topology)


class _Resolution:
    """The steps from words to parts; each one adds to the diagnostics and goes on as far as it makes sense."""

    def __init__(self, tree: Tree, choices: Mapping[str, Choice], topology: Topology | None) -> None:
        self.tree = tree
        self.choices = choices
        self.topology = topology
        self.diagnostics: list[Diagnostic] = []
        self.made: dict[str, Any] = {}
        self.classes = {axis: found for axis, choice in choices.items() if (found := self._class(axis, choice))}
        for axis, choice in choices.items():
            if axis in self.classes:
                self._make(axis, choice)
        self.spoken = self._spoken(topology) if topology else []
        self.combination = self._fit() if self._judgeable() else None

        if topology and self.combination:
            self.diagnostics += of_requests(topology, self.combination, tree)

    def _spoken(self, topology: Topology) -> list[Choice]:
        """The protocols that addresses name for themselves."""
        found = []
        for index, address in enumerate(topology.listen):
            if address.protocol is None:
                continue
            path = ("listen", index, "protocol") if self.tree.has(("listen", index)) else ("listen", "protocol")
            given = address.protocol if isinstance(address.protocol, dict) else {"use": address.protocol}
            choice = Choice(given["use"], {key: value for key, value in given.items() if key != "use"}, path)
            known = self._class("protocol", choice)
            if known is None:
                continue
            found.append(choice)
            part = make(known, choice, self.tree)
            if isinstance(part, list):
                self.diagnostics += part
            else:
                self.made[f"listen.{index}"] = part
        return found

    def parts(self, topology: Topology) -> Parts:
        chosen = self.combination
        assert chosen is not None  # callers have looked at the diagnostics
        workers = 0 if chosen.size is None else size.workers(chosen.pool, chosen.size)
        return Parts(
            topology,
            chosen,
            workers,
            pool=self._part("pool", chosen.pool),
            ownership=chosen.ownership and self._part("ownership", chosen.ownership),
            dispatch=chosen.dispatch and self._part("dispatch", chosen.dispatch),
            affinity=self._part("affinity", str(chosen.affinity)),
            protocols=self._protocols(topology, chosen),
            app=self.made["app"],
        )

    def _protocols(self, topology: Topology, chosen: Combination) -> tuple[Protocol, ...]:
        common = self._part("protocol", chosen.service.protocol)
        return tuple(self.made.get(f"listen.{index}", common) for index in range(len(topology.listen)))

    def _part(self, axis: str, word: str) -> Any:
        return self.made[axis] if axis in self.made else part_class(axis, word)()

    def _class(self, axis: str, choice: Choice) -> type[Any] | None:
        known = words(axis)
        if choice.name in known:
            return part_class(axis, choice.name)
        place = place_of_name(self.tree, choice)
        what = f"the words of {axis}"
        self.diagnostics.append(
            Diagnostic("PC205", f'{axis}: there is no "{choice.name}"', place, mend(choice.name, known, what))
        )
        return None

    def _make(self, axis: str, choice: Choice) -> None:
        choice = self._left_to_rules(axis, choice)
        growing = axis == "pool" and isinstance(choice.options.get("size"), dict)
        if growing:
            message = "pool.size: a pool that grows and shrinks is not available yet; give one number or auto"
            place = self.tree.at_value(path_of_option(self.tree, choice, ("size",)))
            self.diagnostics.append(Diagnostic("PC207", message, place, "for instance size: 8"))
            choice = _without(choice, ("size",))
        part = make(self.classes[axis], choice, self.tree)
        if isinstance(part, list):
            self.diagnostics += part
        elif not growing:
            self.made[axis] = part

    def _left_to_rules(self, axis: str, choice: Choice) -> Choice:
        """Without the options that a baseline refuses for a reason, which is better than "unknown key"."""
        baseline = axis == "pool" and Combination(_ANY, choice.name).baseline
        return _without(choice, POOL_OPTIONS) if baseline else choice

    def _judgeable(self) -> bool:
        """Whether the words say enough to judge their combination: it turns on these parts' words and options."""
        known = all(axis in self.classes for axis in self.choices)
        return known and "app" in self.choices and all(axis in self.made for axis in self.choices if axis in _TURNED_ON)

    def _fit(self) -> Combination:
        given = self._given()
        whole = complete(given)
        refusals = fits(whole)
        for choice in self.spoken:
            if choice.name != whole.service.speaks:
                other = replace(whole, service=replace(whole.service, protocol=choice.name))
                (reason,) = (each.reason for each in fits(other) if each.axis == "protocol")
                self.diagnostics.append(Diagnostic("PC301", reason, place_of_name(self.tree, choice), "leave it out"))
        if refusals:
            better = nearest(whole, given.written())
            for number, refusal in enumerate(refusals):
                mending = "" if number else advice(whole, better)
                self.diagnostics.append(Diagnostic("PC301", refusal.reason, self._place(refusal.axis), mending))
        return whole

    def _given(self) -> Combination:
        pool = self.choices.get("pool", Choice("process"))
        schemes = tuple(dict.fromkeys(each.scheme for each in self.topology.listen)) if self.topology else ("tcp",)
        written: dict[str, Any] = {
            axis: self.choices[axis].name for axis in ("ownership", "dispatch", "affinity") if axis in self.choices
        }
        written |= {option: pool.options.get(option) for option in POOL_OPTIONS}
        if "ownership" in self.choices:
            written |= {option: self.choices["ownership"].options.get(option) for option in OWNERSHIP_OPTIONS}
        return Combination(self._service(), pool.name, schemes=schemes, **written)

    def _service(self) -> Service:
        app: type[App] = self.classes["app"]
        chosen = self.choices.get("protocol")
        protocol: type[Protocol] = part_class("protocol", chosen.name if chosen else app.protocol)
        return Service(
            self.choices["app"].name,
            app.protocol,
            protocol.name,
            protocol.marks_requests,
            owns_connection=app.owns_connection,
            asynchronous=app.asynchronous,
            lendable=app.lendable,
            counts="concurrency" in self.choices["app"].options,
            multiplexes=any(each.options.get("http2") for each in (chosen, *self.spoken) if each),
        )

    def _place(self, axis: str) -> Place:
        """Where an axis stands; that of a default is the word it follows from."""
        for owner, options in (("pool", POOL_OPTIONS), ("ownership", OWNERSHIP_OPTIONS)):
            if axis in options and owner in self.choices:
                path = path_of_option(self.tree, self.choices[owner], (axis,))
                return self.tree.at_key(path) if self.tree.has(path) else place_of_name(self.tree, self.choices[owner])
        for other in (axis, "dispatch", "ownership", "affinity", "pool", "app"):
            if other in self.choices:
                return place_of_name(self.tree, self.choices[other])
        return self.tree.at_value(())


_ANY = Service("", "", "", marks_requests=False)
_TURNED_ON = ("pool", "ownership")


def _without(choice: Choice, options: Sequence[str]) -> Choice:
    return Choice(choice.name, {key: value for key, value in choice.options.items() if key not in options}, choice.path)


def advice(given: Combination, better: Combination) -> str:
    """What to write instead, in the words of the file."""
    changes = []
    if given.service != better.service:
        changes.append(f"protocol: {better.service.protocol}")
    dropped = []
    for axis in reversed(differing(given, better)):
        key = {"pool": "pool.kind", "size": "pool.size", "threads": "pool.threads"}.get(axis, axis)
        key = f"ownership.{axis}" if axis in OWNERSHIP_OPTIONS else key
        word = getattr(better, axis)
        dropped.append(key) if word is None else changes.append(f"{key}: {word}")
    sentences = [f"the nearest that fits has {', '.join(changes)}"] if changes else []
    sentences += [f"leave out {', '.join(dropped)}"] if dropped else []
    return "; ".join(sentences)
