"""Findings about conflicts between the words of a topology, at their locations in the file, with the closest valid
choice."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from poolctl.assembly.fitting.combination import OWNERSHIP_OPTIONS, POOL_OPTIONS, Combination, complete
from poolctl.assembly.fitting.rules import Refusal, Rule, differing, fits, nearest
from poolctl.config.choice import path_of_option, place_of_name
from poolctl.config.diagnostic import Diagnostic, Label, Place
from poolctl.config.model import Choice
from poolctl.config.tree import Tree

LABELLED = ("ownership", "affinity", "dispatch", "pool", "threads", "accept", "lock")


class Conflicts:
    """The conflicts in the combination of a file, whose words have locations in its tree."""

    def __init__(
        self,
        tree: Tree,
        choices: Mapping[str, Choice],
        address_protocols: Sequence[Choice],
        given: Combination,
        schemes: Sequence[str] = (),
        only: Collection[Rule] | None = None,
    ) -> None:
        self.tree = tree
        self.choices = choices
        self.address_protocols = address_protocols
        self.given = given
        self.schemes = schemes  # of each address
        self.only = only  # the rules that are reported; None: all
        self.whole = complete(given)

    def findings(self) -> Iterator[Diagnostic]:
        """A finding for each rule that refuses the combination; the first one has the help, which covers all."""
        for choice in self.address_protocols:
            if choice.name != self.whole.service.speaks:
                other = replace(self.whole, service=replace(self.whole.service, protocol=choice.name))
                (reason,) = (each.reason for each in fits(other) if each.axis == "protocol")
                yield Diagnostic("PC301", reason, place_of_name(self.tree, choice), "leave it out", self._app())
        for number, refusal in enumerate(self._refusals()):
            help_ = "" if number else self._help()
            place = self.place(refusal.axis)
            labels = tuple(self._labels(refusal, place))
            yield Diagnostic("PC301", refusal.reason, place, help_, labels, notes=self._notes(refusal))

    def _refusals(self) -> list[Refusal]:
        """The first refusal of each axis: further ones are about the same word, and the help covers all of them."""
        first: dict[str, Refusal] = {}
        for refusal in fits(self.whole):
            if self.only is None or (refusal.rule in self.only and self._written(refusal.axis)):
                first.setdefault(refusal.axis, refusal)
        return list(first.values())

    def place(self, axis: str) -> Place:
        """The location of an axis; for a default, that of the word which leads to it."""
        own = self._written(axis)
        if own is not None:
            return own
        for other in ("pool" if axis in POOL_OPTIONS else "ownership", "dispatch", "ownership", "affinity", "pool"):
            if other in self.choices:
                return place_of_name(self.tree, self.choices[other])
        return self.tree.at_key(("app",))

    def _written(self, axis: str) -> Place | None:
        """The location of an axis in the file; None where the file does not set it."""
        for owner, options in (("pool", POOL_OPTIONS), ("ownership", OWNERSHIP_OPTIONS)):
            if axis in options:
                choice = self.choices.get(owner)
                path = path_of_option(self.tree, choice, (axis,)) if choice else ()
                return self.tree.at_key(path) if choice and self.tree.has(path) else None
        return place_of_name(self.tree, self.choices[axis]) if axis in self.choices else None

    def _labels(self, refusal: Refusal, place: Place) -> Iterator[Label]:
        """Labels for the other words that are involved: without them the rule would not refuse."""
        for axis in LABELLED:
            there = self._written(axis)
            if there is None or there == place or axis == refusal.axis:
                continue
            without: dict[str, Any] = {axis: "process" if axis == "pool" else None}
            if refusal.rule.refuses(complete(replace(self.given, **without))):
                continue
            yield Label(there, f"{axis} is {self.given.shown(axis)}")
        service, words = self.whole.service, refusal.reason.replace(",", "").split()
        if service.app in words or (service.protocol in words and "protocol" not in self.choices):
            yield from self._app(place)
        if "concurrency" in words:
            yield Label(self.tree.at_key(("app", "concurrency")), "set here")
        for index, scheme in enumerate(self.schemes):
            if scheme != "tcp" and "tcp://" in words:
                yield Label(
                    self.tree.at_value(("listen", index)),
                    f"this address is {scheme}{'' if scheme == 'systemd' else '://'}",
                )

    def _app(self, but: Place | None = None) -> tuple[Label, ...]:
        if "app" not in self.choices:
            return ()
        place = place_of_name(self.tree, self.choices["app"])
        return () if place == but else (Label(place, f"the app is {self.whole.service.app}"),)

    def _help(self) -> str:
        better = nearest(self.whole, self.given.written())
        changes = [axis for axis in reversed(differing(self.whole, better)) if self._changed(better, axis)]
        for axis in [each for each in changes if self._written(each) is None]:
            fewer = [each for each in changes if each != axis]
            if not fits(self._with(better, fewer)):
                changes = fewer
        if self.only is not None:
            changes = [axis for axis in changes if self._written(axis) and getattr(self.given, axis) is not None]
            if not changes:
                return "leave it out"
        return changes_help(self.whole, better, changes)

    def _changed(self, better: Combination, axis: str) -> bool:
        return bool(getattr(self.given, axis) != getattr(better, axis))

    def _with(self, better: Combination, axes: Sequence[str]) -> Combination:
        """The file's combination with some axes changed as in a better one, and the others left to defaults."""
        changed: dict[str, Any] = {axis: getattr(better, axis) for axis in axes}
        return complete(replace(self.given, service=better.service, **changed))

    def _notes(self, refusal: Refusal) -> tuple[str, ...]:
        """A note about a default that is involved, as it has no location to label."""
        word = self.whole.ownership
        if self.given.ownership is None and word and refusal.axis != "ownership" and word in refusal.reason:
            return (f"ownership is left out, and its default here is {word}",)
        return ()


MAX_CANDIDATES = 500  # combinations that are tried; with more, the undecided axes have to be fixed first


def certain_conflicts(
    given: Combination, undecided: Mapping[str, Sequence[Any]]
) -> tuple[Combination, set[Rule]] | None:
    """The rules that refuse the given combination whatever the undecided axes are, and the candidate with the fewest
    refusals.

    ``undecided`` has the candidates of each axis. None where no rule is certain to refuse.
    """
    axes = [("service" if axis == "app" else axis, candidates) for axis, candidates in undecided.items()]
    always: set[Rule] | None = None
    likely, fewest = given, len(axes) * 1000
    for number, choice in enumerate(product(*(candidates for _, candidates in axes))):
        if number == MAX_CANDIDATES:
            return None
        changed: dict[str, Any] = dict(zip((axis for axis, _ in axes), choice, strict=True))
        candidate = replace(given, **changed)
        rules = {refusal.rule for refusal in fits(complete(candidate))}
        always = rules if always is None else always & rules
        if not always:
            return None
        if len(rules) < fewest:
            likely, fewest = candidate, len(rules)
    return (likely, always) if always else None


def changes_help(given: Combination, better: Combination, axes: Sequence[str]) -> str:
    """Return the help: what to write instead, as keys of the file."""
    changes = []
    if given.service != better.service:
        changes.append(f"protocol: {better.service.protocol}")
    dropped = []
    for axis in axes:
        key = {"pool": "pool.kind", "size": "pool.size", "threads": "pool.threads"}.get(axis, axis)
        key = f"ownership.{axis}" if axis in OWNERSHIP_OPTIONS else key
        word = getattr(better, axis)
        dropped.append(key) if word is None else changes.append(f"{key}: {word}")
    sentences = [f"closest valid choice: {', '.join(changes)}"] if changes else []
    sentences += [f"leave out {', '.join(dropped)}"] if dropped else []
    return "; ".join(sentences)
