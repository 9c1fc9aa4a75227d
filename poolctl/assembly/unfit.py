"""What does not fit together in one topology, at the places where it was written and with the nearest that fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from poolctl.assembly.combination import OWNERSHIP_OPTIONS, POOL_OPTIONS, Combination, complete
from poolctl.assembly.rules import Refusal, differing, fits, nearest
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
    ) -> None:
        self.tree = tree
        self.choices = choices
        self.spoken = spoken
        self.given = given
        self.schemes = schemes  # of each address
        self.whole = complete(given)

    def findings(self) -> Iterator[Diagnostic]:
        """One for each rule that refuses the combination; the first has the mend, which is one for all."""
        for choice in self.spoken:
            if choice.name != self.whole.service.speaks:
                other = replace(self.whole, service=replace(self.whole.service, protocol=choice.name))
                (reason,) = (each.reason for each in fits(other) if each.axis == "protocol")
                yield Diagnostic("PC301", reason, place_of_name(self.tree, choice), "leave it out", self._app())
        refusals = fits(self.whole)
        if refusals:
            for number, refusal in enumerate(refusals):
                mending = "" if number else self._advice()
                place = self.place(refusal.axis)
                labels = tuple(self._labels(refusal, place))
                yield Diagnostic("PC301", refusal.reason, place, mending, labels, notes=self._notes(refusal))

    def place(self, axis: str) -> Place:
        """Where an axis stands; that of a default is the word it follows from."""
        own = self._written(axis)
        if own is not None:
            return own
        for other in ("pool" if axis in POOL_OPTIONS else "ownership", "dispatch", "ownership", "affinity", "pool"):
            if other in self.choices:
                return place_of_name(self.tree, self.choices[other])
        return place_of_name(self.tree, self.choices["app"])

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
            yield Label(self.tree.at_key(("app", "concurrency")), "which the file sets")
        for index, scheme in enumerate(self.schemes):
            if scheme != "tcp" and "tcp://" in words:
                yield Label(self.tree.at_value(("listen", index)), f"this address is {scheme}://")

    def _app(self, but: Place | None = None) -> tuple[Label, ...]:
        place = place_of_name(self.tree, self.choices["app"])
        return () if place == but else (Label(place, f"the app is {self.whole.service.app}"),)

    def _advice(self) -> str:
        better = nearest(self.whole, self.given.written())
        changes = [axis for axis in reversed(differing(self.whole, better)) if self._changed(better, axis)]
        for axis in [each for each in changes if self._written(each) is None]:
            fewer = [each for each in changes if each != axis]
            if not fits(self._with(better, fewer)):
                changes = fewer
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
            return (f"the file leaves ownership out, and its default here is {word}",)
        return ()


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
    sentences = [f"the nearest that fits has {', '.join(changes)}"] if changes else []
    sentences += [f"leave out {', '.join(dropped)}"] if dropped else []
    return "; ".join(sentences)
