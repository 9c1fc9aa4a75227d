"""Finds the plugin that a command-line argument names, or reports why there is none."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from poolctl.cli.output import echo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poolctl.assembly.plugins.inspection import Description
    from poolctl.assembly.plugins.reference import Reference

    Found = tuple[Reference, Description]

UNUSABLE = 2
MAX_CLASSES = 32  # of one file that are examined


def find_plugin(what: str, axes: Sequence[str] = ()) -> Found:
    """Return the plugin that FILE, FILE:CLASS or a name refers to. A FILE must have exactly one plugin for ``axes``.

    Otherwise prints an error and exits with 2.
    """
    from poolctl.assembly.plugins.reference import AXES, is_file

    if is_file(what) and ":" not in what:
        return _only_one(what, axes or AXES)
    plugin = _plugin(what)
    if plugin is not None:
        return plugin
    if is_file(what):
        raise error_exit(f"{what} is not a subclass of a poolctl.plugin class for one of the axes {', '.join(AXES)}")
    raise error_exit(f'unknown plugin "{what}"', _suggestion(what, axes))


def _suggestion(what: str, axes: Sequence[str]) -> str:
    """Return a similar name, or how to list all names. ``axes``: whose plugins alone are accepted; empty: all names."""
    from poolctl.assembly.plugins.reference import AXES, references
    from poolctl.assembly.registry import REGISTRY, words
    from poolctl.similar import similar

    known = [each.text for axis in axes or AXES for each in references(axis)]
    known += [] if axes else [word for axis in REGISTRY for word in words(axis)]
    near = similar(what, known)
    return f'did you mean "{near}"?' if near else "poolctl plugin list shows what is installed"


def _only_one(file: str, axes: Sequence[str]) -> Found:
    """Return the plugin of a file that has exactly one."""
    try:
        tree = ast.parse(Path(file).expanduser().read_bytes(), file)
    except (OSError, SyntaxError, ValueError):  # the import below reports the error
        names = ["Mine"]
    else:
        names = [each.name for each in tree.body if isinstance(each, ast.ClassDef) and not each.name.startswith("_")]
    candidates = [_plugin(f"{file}:{name}") for name in names[:MAX_CLASSES]]
    plugins = [plugin for plugin in candidates if plugin and plugin[0].axis in axes]
    if len(plugins) == 1:
        return plugins[0]
    if plugins:
        several = ", ".join(reference.name for reference, _ in plugins)
        raise error_exit(f"{file} has several plugins: {several}", f"name one, for instance {plugins[0][0].text}")
    raise error_exit(f"{file} has no subclass of a poolctl.plugin class for {' or '.join(axes)}")


def _plugin(what: str) -> Found | None:
    """Return the plugin that a reference names; None if it does not exist, or is not for an axis."""
    from poolctl.assembly.plugins.inspection import Description, inspect_plugin
    from poolctl.assembly.plugins.reference import AXES, NotFound, find

    for axis in AXES:
        reference = find(axis, what, Path())
        if reference is None:
            continue
        if isinstance(reference, NotFound):
            raise error_exit(reference.message, reference.help)
        description = inspect_plugin(reference)
        if isinstance(description, Description):
            return reference, description
        if "is not a subclass of poolctl.plugin" not in description.message:  # it is for this axis, but unusable
            raise error_exit(description.message, description.help, description.detail)
    return None


def error_exit(message: str, fix: str = "", detail: str = "") -> typer.Exit:
    """Print an error with its fix and details. Returns the exit to raise."""
    echo(f"error: {message}", err=True)
    if fix:
        echo(f"help: {fix}", err=True)
    if detail:
        echo(detail, err=True)
    return typer.Exit(UNUSABLE)
