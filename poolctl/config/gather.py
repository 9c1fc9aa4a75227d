"""One tree from everything that makes up a topology: the file, overlays, and options of the command line over them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from poolctl.config.diagnostic import Diagnostic, Invalid, Place, SourceText, Span, Unreadable
from poolctl.config.parse import parse_source
from poolctl.config.sources import STDIN, Inputs, read_source
from poolctl.config.tree import Tree

Step = Callable[[Tree, str], None]


def gather(inputs: Inputs) -> Tree:
    """The tree of a topology. Raises Invalid with everything that could not be read or merged, and Unreadable."""
    failed: list[Diagnostic] = []
    if [inputs.file, *inputs.overlays].count("-") > 1:
        place = Place(SourceText(STDIN, ""), Span(0, 0, 0, 1))
        message = f"{STDIN} can be read only once"
        raise Unreadable([Diagnostic("PC100", message, place, "name a file for one of the two")])
    tree = Tree(SourceText(inputs.file, ""), None)
    if inputs.text is None:
        _each(_file, [inputs.file], tree, failed)
    else:
        tree.file = SourceText(inputs.file, inputs.text)
        tree.root = parse_source(tree, tree.file)
    if inputs.overlays or inputs.sets or inputs.listen:
        from poolctl.config import overlays  # most topologies are one file

        _each(overlays.overlay_file, inputs.overlays, tree, failed)
        _each(overlays.overlay_set, inputs.sets, tree, failed)
        if not failed:
            overlays.overlay_listen(tree, inputs.listen)
    if failed:
        raise Invalid(failed)
    if any(os.sep in name for name in (inputs.file, *inputs.overlays)):  # otherwise all paths are relative to here
        from poolctl.config.paths import resolve_paths  # most topologies are in the current folder

        resolve_paths(tree)
    return tree


def _each(step: Step, texts: Sequence[str], tree: Tree, failed: list[Diagnostic]) -> None:
    for text in texts:
        try:
            step(tree, text)
        except Unreadable:
            raise
        except Invalid as invalid:
            failed += invalid.diagnostics


def _file(tree: Tree, path: str) -> None:
    tree.file = read_source(path)
    tree.root = parse_source(tree, tree.file)
