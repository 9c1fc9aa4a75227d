"""From a word that is not poolctl's own to the plugin that it means, and what is wrong with it or its options."""

from __future__ import annotations

from pathlib import Path

from poolctl.assembly.options import wrong
from poolctl.assembly.plugins.inspection import Description, Unusable, described
from poolctl.assembly.plugins.plugin import Plugin
from poolctl.assembly.plugins.reference import AXES, NotFound, Reference, find, installed, is_file, meant
from poolctl.assembly.registry import words
from poolctl.config.choice import place_of_name
from poolctl.config.diagnostic import Diagnostic, Place
from poolctl.config.model import Choice
from poolctl.config.tree import Tree
from poolctl.config.validation_errors import closest


def choose(axis: str, choice: Choice, tree: Tree) -> tuple[Plugin | None, list[Diagnostic]]:
    """The plugin, which may have wrong options; without one and without findings the word is unknown."""
    place = place_of_name(tree, choice)
    if axis not in AXES:
        if not is_file(choice.name):
            return None, []
        message = f"{axis}: this axis takes no plugins"
        return None, [Diagnostic("PC205", message, place, f"the axes that take plugins are {', '.join(AXES)}")]
    found = find(axis, choice.name, _folder(place))
    if found is None:
        return None, []
    if isinstance(found, NotFound):
        return None, [Diagnostic("PC208", found.message, place, found.help)]
    description = described(found, choice.options)
    if isinstance(description, Unusable):
        return None, [_unusable(axis, description, place)]
    return Plugin(found, choice.options, description), _wrong(choice, description, tree)


def default(axis: str, word: str, place: Place) -> tuple[Plugin | None, list[Diagnostic]]:
    """The plugin that another one asks for by its name, as an app does for its protocol."""
    found = find(axis, word, Path())
    if not isinstance(found, Reference):
        message = f"{axis}: the app speaks {word}, but no part of this name is installed"
        help_ = (
            found.help
            if isinstance(found, NotFound)
            else f"name its file, for instance {axis}: {{use: ./{word}.py:Mine}}"
        )
        return None, [Diagnostic("PC208", message, place, help_)]
    description = described(found, {})
    if isinstance(description, Unusable):
        return None, [_unusable(axis, description, place)]
    return Plugin(found, {}, description), []


def help_for(axis: str, word: str) -> str:
    """What to write instead of a word that neither poolctl nor a plugin has."""
    known = words(axis)
    if axis not in AXES:
        return closest(word, known, f"the words of {axis}")
    plugins = list(installed(axis))
    found = meant(word) or closest(word, [*known, *plugins], f"the words of {axis}")
    if plugins or not found.startswith("the words of"):
        return found
    if axis == "app":
        return f"an application is app: {{wsgi: MODULE:CALLABLE}} or {{asgi: MODULE:CALLABLE}}; {found}"
    return f"{found}; a plugin is named by its file, ./FILE.py:CLASS"


def _folder(place: Place) -> Path:
    """From where paths count: the folder of the file that says it; for standard input and options this one."""
    source = place.source
    return Path(source.name).parent if source.is_file and not source.name.startswith("<") else Path()


def _unusable(axis: str, why: Unusable, place: Place) -> Diagnostic:
    return Diagnostic("PC209", f"{axis}: {why.message}", place, why.help, detail=why.detail)


def _wrong(choice: Choice, description: Description, tree: Tree) -> list[Diagnostic]:
    if description.refused:
        said, help_ = description.refused
        help_ = help_ or f"poolctl plugin show {choice.name} lists its options"
        return [Diagnostic("PC204", f"{choice.path[0]} {choice.name}: {said}", place_of_name(tree, choice), help_)]
    return wrong(choice, description.errors, list(description.options), tree)
