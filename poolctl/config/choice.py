"""From the value of an axis to a Choice, a word with its options: `thread`, {use: ..., ...}, {wsgi: ...}."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from poolctl.config.diagnostic import Diagnostic, Place
from poolctl.config.model import SHORT, Choice
from poolctl.config.tree import Tree
from poolctl.config.value_help import shown
from poolctl.similar import similar

DEFAULT_POOL = "process"
OF_THE_APP = ""  # stands for the name of a protocol with options but no name: the one that the app speaks


def read_choice(axis: str, value: Any, tree: Tree) -> Choice | Diagnostic:
    """The choice that the value of an axis stands for, or what is wrong with it."""
    path = (axis,)
    if isinstance(value, str) and value:
        return Choice(value, path=path)
    if not isinstance(value, dict):
        message = f'{axis}: expected a name or a mapping with the key "{name_key(axis)}", not {shown(value)}'
        return Diagnostic("PC201", message, _value_or_key(tree, path, value), _shape_help(axis, value))
    key = given_name_key(axis, value)
    if key in value:
        name = value[key]
        if not isinstance(name, str) or not name:
            message = f"{axis}.{key}: expected a name, not {shown(name)}"
            return Diagnostic("PC204", message, tree.at_value((axis, key)), f"for instance {example(axis)}")
        return Choice(name, {word: option for word, option in value.items() if word != key}, path)
    if axis == "pool":
        return Choice(DEFAULT_POOL, dict(value), path)
    if axis == "protocol":
        return Choice(OF_THE_APP, dict(value), path)
    return _short(axis, value, tree)


def _shape_help(axis: str, value: Any) -> str:
    """The help for a value that is neither a name nor a mapping."""
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        return f"remove the dashes: {axis} is one mapping, not a list"
    return f"for instance {example(axis)}"


def _short(axis: str, value: dict[str, Any], tree: Tree) -> Choice | Diagnostic:
    """The choice of a short form such as `{wsgi: shop:app}`, whose key is the word and whose value is the option that
    SHORT gives."""
    short = SHORT.get(axis, {})
    words = [key for key in value if key in short]
    if not words:
        return _nameless(axis, value, tree)
    if len(words) > 1:
        message = f"{axis}: {' and '.join(words)} are mutually exclusive: a topology has one {axis}"
        return Diagnostic("PC204", message, tree.at_key((axis, words[1])), "keep one of them")
    option = short[words[0]]
    if option in value:
        message = f'{axis}: duplicate {option}, given by "{words[0]}" and by "{option}"'
        return Diagnostic("PC204", message, tree.at_key((axis, option)), "keep one of the two")
    options = {key: given for key, given in value.items() if key != words[0]}
    if value[words[0]] is not None:
        options[option] = value[words[0]]
    return Choice(words[0], options, (axis,))


def _nameless(axis: str, value: dict[str, Any], tree: Tree) -> Diagnostic:
    short = [*SHORT.get(axis, ()), name_key(axis)]
    near = next(((key, word) for key in value if (word := similar(key, short))), None)
    help_ = f'did you mean "{near[1]}"?' if near else f"for instance {example(axis)}"
    if axis == "app":
        target = next((key for key, given in value.items() if is_target(given)), None)
        if target is not None and not near:
            help_ = f"write app: {{wsgi: {value[target]}}}, or app: {{asgi: {value[target]}}}"
        message = f"app: no key names an app; the apps are {', '.join(short[:-1])}"
        first = [near[0]] if near else [target] if target is not None else list(value)[:1]
        return Diagnostic("PC202", message, tree.at_key(("app", *first)), help_)
    message = f'{axis}: missing key "{name_key(axis)}", which names the component'
    return Diagnostic("PC202", message, tree.at_key((axis, *near[:1]) if near else (axis,)), help_)


def is_target(value: Any) -> bool:
    """Whether a value looks like MODULE:CALLABLE."""
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w.]{0,200}:[A-Za-z_][\w.]{0,200}", value) is not None


def name_key(axis: str) -> str:
    """The key that names the component in a mapping, in poolctl's own spelling."""
    return "kind" if axis == "pool" else "use"


def other_name_key(axis: str) -> str:
    """The key that names the component on other axes, which is accepted too."""
    return "use" if axis == "pool" else "kind"


def given_name_key(axis: str, value: Mapping[str, Any]) -> str:
    """The key that names the component in this mapping: the other spelling counts where nothing else gives the name."""
    key, other = name_key(axis), other_name_key(axis)
    return other if key not in value and other in value and not (SHORT.get(axis, {}).keys() & value.keys()) else key


def example(axis: str) -> str:
    """A line of a topology that sets the axis."""
    examples = {
        "app": "app: {wsgi: shop.wsgi:application}",
        "pool": "pool: {kind: process, size: 8}",
        "protocol": "protocol: http",
        "ownership": "ownership: half-sync/half-reactive",
        "dispatch": "dispatch: {use: power-of-choices, choices: 3}",
        "affinity": "affinity: connection",
    }
    return examples[axis]


def place_of_name(tree: Tree, choice: Choice) -> Place:
    """The location of a choice's word."""
    value = tree.value_at(choice.path) if tree.has(choice.path) else None
    key = given_name_key(str(choice.path[-1]), value) if isinstance(value, dict) else name_key(str(choice.path[-1]))
    if tree.has((*choice.path, key)):
        return tree.at_value((*choice.path, key))
    if tree.has((*choice.path, choice.name)):
        return tree.at_key((*choice.path, choice.name))
    return tree.at_value(choice.path)


def path_of_option(tree: Tree, choice: Choice, option: Sequence[str | int]) -> tuple[str | int, ...]:
    """The path of an option, also in a short form, which has no key for it."""
    path = (*choice.path, *option)
    short = (*choice.path, choice.name)
    implied = SHORT.get(str(choice.path[-1]), {}).get(choice.name)
    if option and option[0] == implied and not tree.has(path) and tree.has(short):
        return (*short, *option[1:])
    return path


def _value_or_key(tree: Tree, path: tuple[str, ...], value: Any) -> Place:
    """The location of the value, or of its key where the value is empty and could not be seen."""
    return tree.at_key(path) if value is None else tree.at_value(path)
