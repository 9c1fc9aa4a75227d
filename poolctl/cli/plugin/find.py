"""From an argument of the command line to a plugin, or the words why there is none."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from poolctl.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poolctl.assembly.plugins.inspection import Description
    from poolctl.assembly.plugins.reference import Reference

    Found = tuple[Reference, Description]

UNUSABLE = 2
CLASSES = 32  # of one file that are looked at


def found(what: str, axes: Sequence[str] = ()) -> Found:
    """The plugin of FILE, of FILE:CLASS, or of a name; of a file with several the only one of ``axes``. Says what is
    wrong on standard error and leaves with 2."""
    from poolctl.assembly.plugins.reference import AXES, is_file

    if is_file(what) and ":" not in what:
        return _only_one(what, axes or AXES)
    plugin = _plugin(what)
    if plugin is not None:
        return plugin
    if is_file(what):
        raise left(f"{what} is below none of the classes of poolctl.plugin that are for an axis: {', '.join(AXES)}")
    raise left(f'there is no plugin "{what}"', _instead(what, axes))


def _instead(what: str, axes: Sequence[str]) -> str:
    """What may have been meant. ``axes``: those of which plugins alone are asked for; empty: words of poolctl too."""
    from poolctl.assembly.plugins.reference import AXES, references
    from poolctl.assembly.registry import REGISTRY, words
    from poolctl.similar import similar

    known = [each.text for axis in axes or AXES for each in references(axis)]
    known += [] if axes else [word for axis in REGISTRY for word in words(axis)]
    near = similar(what, known)
    return f'did you mean "{near}"?' if near else "poolctl plugin list shows what is installed"


def _only_one(file: str, axes: Sequence[str]) -> Found:
    """The plugin of a file that has one."""
    try:
        tree = ast.parse(Path(file).expanduser().read_bytes(), file)
    except (OSError, SyntaxError, ValueError):  # importing it says so
        names = ["Mine"]
    else:
        names = [each.name for each in tree.body if isinstance(each, ast.ClassDef) and not each.name.startswith("_")]
    plugins = [plugin for name in names[:CLASSES] if (plugin := _plugin(f"{file}:{name}")) and plugin[0].axis in axes]
    if len(plugins) == 1:
        return plugins[0]
    if plugins:
        several = ", ".join(reference.name for reference, _ in plugins)
        raise left(f"{file} has several plugins: {several}", f"say which, for instance {plugins[0][0].text}")
    raise left(f"{file} has no class below one of poolctl.plugin that is for {' or '.join(axes)}")


def _plugin(what: str) -> Found | None:
    """None: it is not there, or of no axis."""
    from poolctl.assembly.plugins.inspection import Description, described
    from poolctl.assembly.plugins.reference import AXES, NotFound, find

    for axis in AXES:
        reference = find(axis, what, Path())
        if reference is None:
            continue
        if isinstance(reference, NotFound):
            raise left(reference.message, reference.help)
        description = described(reference)
        if isinstance(description, Description):
            return reference, description
        if "is not a subclass of poolctl.plugin" not in description.message:  # it is of this axis, and cannot be used
            raise left(description.message, description.help, description.detail)
    return None


def left(message: str, fix: str = "", detail: str = "") -> typer.Exit:
    """Said on standard error, and the way out."""
    say(f"error: {message}", err=True)
    if fix:
        say(f"help: {fix}", err=True)
    if detail:
        say(detail, err=True)
    return typer.Exit(UNUSABLE)
