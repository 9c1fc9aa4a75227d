"""From the options of a choice to an instance of its class.

Parts are plain dataclasses; pydantic validates their options here, and the parts do not depend on it. A field gives its
unit in its annotation, ``Annotated[int, "bytes"]`` or ``Annotated[float, "seconds"]``, and then accepts "64KiB" or
"30s".
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
    """An instance of the part, or the findings about its options."""
    try:
        values = values_of(part, choice.options)
    except ValidationError as error:
        return option_findings(choice, error.errors(include_url=False), option_names(part), tree)
    try:
        return part(**values)
    except ValueError as error:  # of a __post_init__
        help_ = getattr(error, "help", "") or f"run poolctl explain {choice.path[0]}.{choice.name} for its options"
        message = f"{choice.path[0]} {choice.name}: {error_text(error)}"
        return [Diagnostic("PC204", message, place_of_name(tree, choice), help_)]


def error_text(error: ValueError) -> str:
    """Return the message of an exception, without pydantic's additions."""
    if isinstance(error, ValidationError):
        return "; ".join(expected(each) for each in error.errors(include_url=False, include_input=False))
    return str(error)


def values_of(part: type[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as arguments of the part. Raises ValidationError."""
    # Through JSON, whose data model is that of YAML's core types: strict mode still turns a list into a tuple.
    with without_plugins():
        values: dict[str, Any] = form(part).validate_json(json.dumps(options))
    return values


def option_findings(choice: Choice, errors: Sequence[ErrorDetails], names: list[str], tree: Tree) -> list[Diagnostic]:
    """The findings for pydantic's errors about the options of a choice. ``names`` are the options of the part."""
    located: list[tuple[Path, Any]] = [(path_of_option(tree, choice, each["loc"]), each) for each in errors]
    # The keys of a mapping inside an option are not known here.
    return findings(
        tree,
        located,
        lambda path: names if len(path) <= len(choice.path) else [],
        lambda path, around: _suggest(path, around, choice, names),
    )


def _suggest(path: str, around: Any, choice: Choice, names: list[str]) -> str:
    """The help for an option that the part does not have: another word has it, or another key, or there is none."""
    axis, _, option = path.rpartition(".")
    axis = axis.partition(".")[0] if choice.path[0] != "listen" else "protocol"
    if ".".join(map(str, choice.path)) != path.rpartition(".")[0] or similar(option, names):
        return ""
    others = [word for word in words(axis) if option in option_names(part_class(axis, word))]
    if others:
        return f"leave it out: it is an option of {', '.join(others)}, not of {choice.name}"
    if option in ("use", "kind"):
        return f'leave it out: the name is already "{choice.name}"'
    if similar(option, [name_key(axis)]):
        return f'did you mean "{name_key(axis)}"?'
    from poolctl.config.suggestions import suggest_key

    if place := suggest_key(path, {}, around):
        return place
    given = around.get(option) if isinstance(around, dict) else None
    if axis == "app" and "target" in names and is_target(given):
        return f"write target: {given}"
    if not names:
        return f"leave it out: {choice.name} has no options"
    return f"use one of the options of {choice.name}: {', '.join(names)}"


def option_fields(part: type[Any]) -> list[Field[Any]]:
    """The fields that are options; none for a class that is not a dataclass."""
    return [each for each in fields(part) if each.init] if is_dataclass(part) else []


def option_names(part: type[Any]) -> list[str]:
    """The names of the part's options."""
    return [each.name for each in option_fields(part)]


def form(part: type[Any]) -> TypeAdapter[Any]:
    """The type of a part's options: its fields and nothing else."""
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
    """The annotation with the reader of the unit that it gives, also inside lists, mappings and unions."""
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
