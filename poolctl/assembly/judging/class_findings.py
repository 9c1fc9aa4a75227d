"""Findings about ``classes``: they need a queue in a front that reads requests, and workers to keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from poolctl.assembly.fitting.combination import QUEUES, REACTIVE, Combination
from poolctl.config.classes import ClassEntry
from poolctl.config.diagnostic import Diagnostic, Label, Place, number_of
from poolctl.config.tree import Path, Tree


def class_findings(
    tree: Tree, classes: Sequence[ClassEntry], chosen: Combination, workers: int
) -> Iterator[Diagnostic]:
    """The findings about the classes of a topology with this combination and so many workers."""
    where: Path = ("classes",)
    place = tree.at_key(where)
    if chosen.service.protocol != "http":
        message = f"classes: they are classes of HTTP requests, but the protocol here is {chosen.service.protocol}"
        label = Label(tree.at_value(("app",)), f"the app is {chosen.service.app}")
        yield Diagnostic("PC301", message, place, "leave it out", (label,))
    elif chosen.ownership != REACTIVE:
        owner = chosen.ownership or f"that of pool {chosen.pool}"
        message = f"classes: only the front of {REACTIVE} reads requests that wait; the ownership is {owner}"
        yield Diagnostic("PC301", message, place, f"leave it out, or use ownership: {REACTIVE}")
    elif chosen.dispatch not in QUEUES:
        message = f"classes: {chosen.shown('dispatch')} puts a request into the inbox of a worker at once, past classes"
        yield Diagnostic("PC301", message, place, f"leave it out, or use dispatch: {QUEUES[0]}")
    else:
        for index, each in enumerate(classes):
            if chosen.dispatch == "size-aware" and each.kind in ("short", "long"):
                message = f'classes.{index}: size-aware has a class "{each.kind}" of its own'
                yield Diagnostic("PC301", message, _at(tree, index, "name"), "give it another name")
            if each.most is not None and each.most < each.reserve:
                most = number_of(each.most, "request")
                message = f"classes.{index}.reserve: {each.reserve} workers would be kept for at most {most}"
                yield Diagnostic("PC301", message, _at(tree, index, "reserve"), "reserve no more than most")
        yield from _reserves(tree, classes, workers * (chosen.threads or 1), chosen)


def _at(tree: Tree, index: int, key: str) -> Place:
    """Return the place of a key of a class, or of the classes if it is not written there."""
    path: Path = ("classes", index, key)
    return tree.at_value(path) if tree.has(path) else tree.at_key(("classes",))


def _reserves(tree: Tree, classes: Sequence[ClassEntry], seats: int, chosen: Combination) -> Iterator[Diagnostic]:
    if chosen.service.asynchronous:  # each worker serves as many as its concurrency
        return
    kept = 0
    for index, each in enumerate(classes):
        kept += each.reserve
        if each.reserve and kept >= seats:
            worker = "worker" if seats == 1 else "workers"
            message = f"classes.{index}.reserve: {kept} of {seats} {worker} would be kept, and none left for all others"
            yield Diagnostic("PC301", message, _at(tree, index, "reserve"), "reserve fewer, or make the pool larger")
            return
