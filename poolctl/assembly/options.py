"""From the options of a choice to an instance of its class.

Parts are plain dataclasses; pydantic judges their options here and stays out of the parts. A field says its unit in its
annotation, ``Annotated[int, "bytes"]`` or ``Annotated[float, "seconds"]``, and takes "64KiB" or "30s" then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from typing_extensions import TypedDict

from poolctl.assembly.registry import part_class, words
from poolctl.config.choice import is_target, name_key, path_of_option, place_of_name
from poolctl.config.diagnostic import Diagnostic
from poolctl.config.model import Choice
from poolctl.config.part import without_plugins
from poolctl.config.tree import Path, Tree
from poolctl.config.units import READERS
from poolctl.config.validation_errors import expected, findings
from poolctl.similar import similar


def make(part: type[Any], choice: Choice, tree: Tree) -> Any | list[Diagnostic]:
    """An instance of the part, or everything that is wrong with its options."""
    try:
        values = values_of(part, choice.options)
    except ValidationError as error:
        return wrong(choice, error.errors(include_url=False), option_names(part), tree)
    try:
        return part(**values)
    except ValueError as error:  # of a __post_init__
        help_ = getattr(error, "help", "") or f"poolctl explain {choice.path[0]}.{choice.name} has its options"
        message = f"{choice.path[0]} {choice.name}: {error_text(error)}"
        return [Diagnostic("PC204", message, place_of_name(tree, choice), help_)]


def error_text(error: ValueError) -> str:
    """What an exception says, without the frame that pydantic puts around it."""
    if isinstance(error, ValidationError):
        return "; ".join(expected(each) for each in error.errors(include_url=False, include_input=False))
    return str(error)


def values_of(part: type[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as the part takes them. Raises ValidationError."""
    # As JSON, whose data model is that of YAML's core types: strict, and yet a list may become a tuple.
    with without_plugins():
        values: dict[str, Any] = form(part).validate_json(json.dumps(options))
    return values


def wrong(choice: Choice, errors: Sequence[ErrorDetails], names: list[str], tree: Tree) -> list[Diagnostic]:
    """What pydantic found, at its places. ``names``: the options that the part has."""
    located: list[tuple[Path, Any]] = [(path_of_option(tree, choice, each["loc"]), each) for each in errors]
    # Which keys a mapping inside an option has is not known here.
    return findings(
        tree,
        located,
        lambda path: names if len(path) <= len(choice.path) else [],
        lambda path, around: _of_another(path, around, choice, names),
    )


def _of_another(path: str, around: Any, choice: Choice, names: list[str]) -> str:
    """Help for an option that the part does not have: another word has it, or another key, or there is none."""
    axis, _, option = path.rpartition(".")
    axis = axis.partition(".")[0] if choice.path[0] != "listen" else "protocol"
    if ".".join(map(str, choice.path)) != path.rpartition(".")[0] or similar(option, names):
        return ""
    others = [word for word in words(axis) if option in option_names(part_class(axis, word))]
    if others:
        return f"it is an option of {', '.join(others)}, not of {choice.name}"
    if option in ("use", "kind") or similar(option, [name_key(axis)]):
        return f'did you mean "{name_key(axis)}"?' if option not in ("use", "kind") else _named_twice(choice)
    from poolctl.config.suggestions import suggest_key

    if place := suggest_key(path, {}, around):
        return place
    given = around.get(option) if isinstance(around, dict) else None
    if axis == "app" and "target" in names and is_target(given):
        return f"write target: {given}"
    return f"the options of {choice.name} are {', '.join(names)}" if names else f"{choice.name} has no options"


def _named_twice(choice: Choice) -> str:
    return f"leave it out: {choice.name} is the name already"


def option_fields(part: type[Any]) -> list[Field[Any]]:
    """The fields that options are for; a class that is no dataclass has none."""
    return [each for each in fields(part) if each.init] if is_dataclass(part) else []


def option_names(part: type[Any]) -> list[str]:
    return [each.name for each in option_fields(part)]


def form(part: type[Any]) -> TypeAdapter[Any]:
    """What the options of a part have to look like: its fields, and nothing else."""
    return _form(part)  # type: ignore[arg-type]  # a class is hashable, but mypy does not believe it of any class


@lru_cache(maxsize=64)
def _form(part: type[Any]) -> TypeAdapter[Any]:
    hints = get_type_hints(part, include_extras=True)
    keys: dict[str, Any] = {}
    for field in option_fields(part):
        required = field.default is MISSING and field.default_factory is MISSING
        hint = _with_unit(hints[field.name])
        keys[field.name] = Required[hint] if required else NotRequired[hint]
    typed_dict: Any = TypedDict  # its keys are known at run time only
    options = typed_dict("options", keys)
    options.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)
    return TypeAdapter(options)


def _with_unit(hint: Any) -> Any:
    """With the reader of the unit that an annotation says, also inside lists, mappings and unions."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        base, *marks = inner
        readers = [reader for mark in marks if isinstance(mark, str) and mark in READERS for reader in READERS[mark]]
        return Annotated[(_with_unit(base), *marks, *readers)]
    if origin in (None, Literal, Callable):
        return hint
    read = tuple(map(_with_unit, inner))
    if read == inner:
        return hint
    return Union[read] if origin in (Union, UnionType) else origin[read]  # noqa: UP007  # made of a tuple
