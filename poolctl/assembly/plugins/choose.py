"""Finds the plugin that a word names, and the findings about it and its options."""

from __future__ import annotations

from pathlib import Path

from poolctl.assembly.options import option_findings
from poolctl.assembly.plugins.inspection import Description, Unusable, inspect_plugin
from poolctl.assembly.plugins.plugin import Plugin
from poolctl.assembly.plugins.reference import AXES, NotFound, Reference, find, installed, is_file, suggest_file
from poolctl.assembly.registry import words
from poolctl.config.choice import place_of_name
from poolctl.config.diagnostic import Diagnostic, Place
from poolctl.config.model import Choice
from poolctl.config.tree import Tree
from poolctl.config.validation_errors import closest


def choose(axis: str, choice: Choice, tree: Tree) -> tuple[Plugin | None, list[Diagnostic]]:
    """The plugin that a word names, and the findings about it or its options; neither if the word is unknown."""
    place = place_of_name(tree, choice)
    if axis not in AXES:
        if not is_file(choice.name):
            return None, []
        message = f"{axis}: this axis does not support plugins"
        return None, [Diagnostic("PC205", message, place, f"use plugins for {', '.join(AXES)} only")]
    found = find(axis, choice.name, _folder(place))
    if found is None:
        return None, []
    if isinstance(found, NotFound):
        return None, [Diagnostic("PC208", found.message, place, found.help)]
    description = inspect_plugin(found, choice.options)
    if isinstance(description, Unusable):
        return None, [_unusable(axis, description, place)]
    return Plugin(found, choice.options, description), _option_findings(choice, description, tree)


def default(axis: str, word: str, place: Place) -> tuple[Plugin | None, list[Diagnostic]]:
    """The installed plugin of this name, which another one needs, as an app needs its protocol; or the findings."""
    found = find(axis, word, Path())
    if not isinstance(found, Reference):
        message = f"{axis}: the app speaks {word}, but no {axis} of this name is installed"
        help_ = (
            found.help
            if isinstance(found, NotFound)
            else f"name its file, for instance {axis}: {{use: ./{word}.py:Mine}}"
        )
        return None, [Diagnostic("PC208", message, place, help_)]
    description = inspect_plugin(found, {})
    if isinstance(description, Unusable):
        return None, [_unusable(axis, description, place)]
    return Plugin(found, {}, description), []


def help_for(axis: str, word: str) -> str:
    """The help for a word that neither poolctl nor an installed plugin has."""
    known = words(axis)
    if axis not in AXES:
        return closest(word, known)
    plugins = list(installed(axis))
    found = suggest_file(word) or closest(word, [*known, *plugins])
    if plugins or not found.startswith("use one of"):
        return found
    if axis == "app":
        return f"name an application, app: {{wsgi: MODULE:CALLABLE}} or {{asgi: MODULE:CALLABLE}}, or {found}"
    return f"{found}, or name a plugin by its file, ./FILE.py:CLASS"


def _folder(place: Place) -> Path:
    """The folder that paths are relative to: that of the file with the location, or the working directory for standard
    input and options."""
    source = place.source
    return Path(source.name).parent if source.is_file and not source.name.startswith("<") else Path()


def _unusable(axis: str, why: Unusable, place: Place) -> Diagnostic:
    return Diagnostic("PC209", f"{axis}: {why.message}", place, why.help, detail=why.detail)


def _option_findings(choice: Choice, description: Description, tree: Tree) -> list[Diagnostic]:
    if description.refused:
        message, help_ = description.refused
        help_ = help_ or f"run poolctl plugin show {choice.name} for its options"
        return [Diagnostic("PC204", f"{choice.path[0]} {choice.name}: {message}", place_of_name(tree, choice), help_)]
    return option_findings(choice, description.errors, list(description.options), tree)
