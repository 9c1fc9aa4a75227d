"""What does not fit together in one topology, at the places where it was written, with the closest valid choice."""

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


class Unfit:
    """The combination that a file gives, and where its words stand."""

    def __init__(
        self,
        tree: Tree,
        choices: Mapping[str, Choice],
        spoken: Sequence[Choice],
        given: Combination,
        schemes: Sequence[str] = (),
        only: Collection[Rule] | None = None,
    ) -> None:
        self.tree = tree
        self.choices = choices
        self.spoken = spoken
        self.given = given
        self.schemes = schemes  # of each address
        self.only = only  # the rules that count; None: all
        self.whole = complete(given)

    def findings(self) -> Iterator[Diagnostic]:
        """One for each rule that refuses the combination; the first has the help, which is one for all."""
        for choice in self.spoken:
            if choice.name != self.whole.service.speaks:
                other = replace(self.whole, service=replace(self.whole.service, protocol=choice.name))
                (reason,) = (each.reason for each in fits(other) if each.axis == "protocol")
                yield Diagnostic("PC301", reason, place_of_name(self.tree, choice), "leave it out", self._app())
        for number, refusal in enumerate(self._refusals()):
            help_ = "" if number else self._advice()
            place = self.place(refusal.axis)
            labels = tuple(self._labels(refusal, place))
            yield Diagnostic("PC301", refusal.reason, place, help_, labels, notes=self._notes(refusal))

    def _refusals(self) -> list[Refusal]:
        """The first of each axis: the others are about the same word, and there is one advice for all of them."""
        first: dict[str, Refusal] = {}
        for refusal in fits(self.whole):
            if self.only is None or (refusal.rule in self.only and self._written(refusal.axis)):
                first.setdefault(refusal.axis, refusal)
        return list(first.values())

    def place(self, axis: str) -> Place:
        """Where an axis stands; that of a default is the word it follows from."""
        own = self._written(axis)
        if own is not None:
            return own
        for other in ("pool" if axis in POOL_OPTIONS else "ownership", "dispatch", "ownership", "affinity", "pool"):
            if other in self.choices:
                return place_of_name(self.tree, self.choices[other])
        return self.tree.at_key(("app",))

    def _written(self, axis: str) -> Place | None:
        """Where the file says it, None where it does not."""
        for owner, options in (("pool", POOL_OPTIONS), ("ownership", OWNERSHIP_OPTIONS)):
            if axis in options:
                choice = self.choices.get(owner)
                path = path_of_option(self.tree, choice, (axis,)) if choice else ()
                return self.tree.at_key(path) if choice and self.tree.has(path) else None
        return place_of_name(self.tree, self.choices[axis]) if axis in self.choices else None

    def _labels(self, refusal: Refusal, place: Place) -> Iterator[Label]:
        """The other words that have a part in it: had they been left out, the rule would not refuse."""
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
                yield Label(self.tree.at_value(("listen", index)), f"this address is {scheme}://")

    def _app(self, but: Place | None = None) -> tuple[Label, ...]:
        if "app" not in self.choices:
            return ()
        place = place_of_name(self.tree, self.choices["app"])
        return () if place == but else (Label(place, f"the app is {self.whole.service.app}"),)

    def _advice(self) -> str:
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
        return advice(self.whole, better, changes)

    def _changed(self, better: Combination, axis: str) -> bool:
        return bool(getattr(self.given, axis) != getattr(better, axis))

    def _with(self, better: Combination, axes: Sequence[str]) -> Combination:
        """What the file gives when some axes are changed as in a better one, and the others are left to defaults."""
        changed: dict[str, Any] = {axis: getattr(better, axis) for axis in axes}
        return complete(replace(self.given, service=better.service, **changed))

    def _notes(self, refusal: Refusal) -> tuple[str, ...]:
        """A default that has a part in it has no place to point at."""
        word = self.whole.ownership
        if self.given.ownership is None and word and refusal.axis != "ownership" and word in refusal.reason:
            return (f"ownership is left out, and its default here is {word}",)
        return ()


MOST_MEANINGS = 500  # combinations that are looked at; whoever has more undecided corrects that first


def certain_conflicts(
    given: Combination, undecided: Mapping[str, Sequence[Any]]
) -> tuple[Combination, set[Rule]] | None:
    """The rules that refuse what is given whatever the undecided axes mean, and the meaning that is refused least.

    None where there is no such rule, and so nothing that can be said for certain.
    """
    axes = [("service" if axis == "app" else axis, meanings) for axis, meanings in undecided.items()]
    always: set[Rule] | None = None
    likely, fewest = given, len(axes) * 1000
    for number, meant in enumerate(product(*(meanings for _, meanings in axes))):
        if number == MOST_MEANINGS:
            return None
        changed: dict[str, Any] = dict(zip((axis for axis, _ in axes), meant, strict=True))
        candidate = replace(given, **changed)
        rules = {refusal.rule for refusal in fits(complete(candidate))}
        always = rules if always is None else always & rules
        if not always:
            return None
        if len(rules) < fewest:
            likely, fewest = candidate, len(rules)
    return (likely, always) if always else None


def advice(given: Combination, better: Combination, axes: Sequence[str]) -> str:
    """What to write instead, in the words of the file."""
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
