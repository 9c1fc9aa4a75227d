"""The options of a part as a JSON schema, for the schema of topologies, the glossary and `plugin show`."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, Field
from enum import Enum
from typing import Any

from poolctl.assembly.options import form, option_fields

Schema = dict[str, Any]

PLAIN = (str, int, float, bool)


def options_schema(part: type[Any]) -> Schema:
    """The schemas of a part's options by name, each with its description and default."""
    made = form(part).json_schema()
    shared = made.get("$defs", {})
    found: Schema = {name: untitled(_inlined(key, shared)) for name, key in made.get("properties", {}).items()}
    for each in option_fields(part):
        default = _plain_default(each)
        if default is not None:
            found[each.name]["default"] = default
    return found


def required_options(part: type[Any]) -> list[str]:
    """The names of the options that have no default."""
    return [each.name for each in option_fields(part) if each.default is MISSING and each.default_factory is MISSING]


def described(part: type[Any]) -> str:
    """The first paragraph of a class's docstring on one line."""
    return " ".join((inspect.getdoc(part) or "").split("\n\n")[0].split())


def _plain_default(option: Field[Any]) -> Any:
    """Return the default in a file's notation; None if a file cannot or need not set it."""
    if option.default_factory in (list, tuple, set, frozenset):
        return []
    if option.default_factory is dict:
        return {}
    default = option.default.value if isinstance(option.default, Enum) else option.default
    if isinstance(default, tuple | list):
        return list(default) if all(isinstance(each, PLAIN) for each in default) else None
    return default if isinstance(default, PLAIN) else None


def _inlined(schema: Any, shared: Schema, within: tuple[str, ...] = ()) -> Any:
    """A schema with pydantic's references (to enumerations and dataclasses) replaced by what they refer to, so that it
    is self-contained. A type that contains itself accepts anything from there on."""
    if isinstance(schema, list):
        return [_inlined(each, shared, within) for each in schema]
    if not isinstance(schema, dict):
        return schema
    rest = {key: _inlined(value, shared, within) for key, value in schema.items() if key != "$ref"}
    if not isinstance(schema.get("$ref"), str):
        return rest
    name = schema["$ref"].rpartition("/")[2]
    return rest if name in within else _inlined(shared.get(name, {}), shared, (*within, name)) | rest


def untitled(schema: Any) -> Any:
    """A schema without the titles that pydantic adds."""
    if isinstance(schema, list):
        return [untitled(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if not (key == "title" and isinstance(value, str))}
    return {key: untitled(value) for key, value in kept.items()}
