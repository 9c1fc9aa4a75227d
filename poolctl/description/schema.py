"""The JSON Schema of a topology file, for editors: generated from the model, the registry and the parts' options.

It uses draft 7, which both the YAML language server and JetBrains' editors support well. It rejects nothing that
`validate` accepts; which parts fit together only `validate` checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from poolctl.assembly.options_schema import Schema, described, options_schema, required_options, untitled
from poolctl.assembly.plugins.reference import AXES, Reference, references
from poolctl.assembly.registry import part_class, words
from poolctl.config.access_log import FORMAT
from poolctl.config.choice import DEFAULT_POOL, name_key, other_name_key
from poolctl.config.listen import ADDRESS
from poolctl.config.model import SHORT, Topology

DRAFT = "http://json-schema.org/draft-07/schema#"
FILE = r"\.py:[A-Za-z_][A-Za-z0-9_.]*$"
VARIABLE: Schema = {"$ref": "#/definitions/variable"}
HAS_VARIABLE = r"\$[{$]"
SCALARS = {"string", "integer", "number", "boolean"}


def topology_schema() -> Schema:
    """Return the complete schema."""
    model = Topology.model_json_schema(ref_template="#/definitions/{model}")
    definitions: Schema = {
        "variable": {
            "type": "string",
            "pattern": HAS_VARIABLE,
            "description": "contains environment variables: ${NAME}, ${NAME:-default}, ${NAME:?message}",
        }
    }
    definitions |= {name: _filled(part) for name, part in sorted(model.pop("$defs").items())}
    keys = {name: _filled(key) for name, key in model["properties"].items()}
    keys["listen"] = _listen(keys["listen"])
    keys["access_log"] = _off(keys["access_log"], FORMAT)
    section = {"$ref": keys["overload"].pop("$ref")}
    keys["overload"] |= {"anyOf": [{"const": "off"}, section]}
    keys["forwarded"] = _off(keys["forwarded"], {"const": "off"})
    return {
        "$schema": DRAFT,
        "title": "poolctl topology",
        "description": "How a server spreads work over a pool of processes or threads.",
        "type": "object",
        "properties": {name: _with_variables(key) for name, key in keys.items()},
        "patternProperties": {"^x-": True},
        "additionalProperties": False,
        "required": ["app"],
        "definitions": {name: _with_variables(part) for name, part in definitions.items()},
    }


def _listen(key: Schema) -> Schema:
    """Allow a single address instead of a list."""
    entry = {"anyOf": [ADDRESS, {"$ref": "#/definitions/Entry"}]}
    listed = {"type": "array", "items": entry, "minItems": 1}
    return {"anyOf": [*entry["anyOf"], listed], "description": key["description"], "default": key.get("default")}


def _off(key: Schema, short: Schema) -> Schema:
    return key | {"anyOf": [{"const": "off"}, short, *key["anyOf"]], "default": "off"}


def _filled(schema: Any) -> Any:
    """Return a schema in which the axes have their words, without titles."""
    if isinstance(schema, list):
        return [_filled(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "x-axis" in schema:
        rest = {key: value for key, value in schema.items() if key != "x-axis"}
        return axis_schema(schema["x-axis"]) | rest
    kept = {key: value for key, value in schema.items() if not (key == "title" and isinstance(value, str))}
    return {key: _filled(value) for key, value in kept.items()}


def axis_schema(axis: str) -> Schema:
    """Return the schema of an axis: a word, or a mapping with its options."""
    found: list[Schema] = []
    for word in words(axis):
        found += _forms(axis, word)
    if axis in AXES:
        found += [form for reference in references(axis) for form in _of_plugin(axis, reference)]
        file = {
            "type": "string",
            "pattern": FILE,
            "description": f"a plugin of {axis} in a Python file, ./FILE.py:CLASS",
        }
        # The options are known to the file only.
        found += [file, *_open_mappings(axis, file)]
    return {"anyOf": [*found, VARIABLE, *_open_mappings(axis, VARIABLE)]}


def _open_mappings(axis: str, word: Schema) -> list[Schema]:
    """Return mappings that name a component whose options the schema does not know, by either name key."""
    return [{"type": "object", "properties": {key: word}, "required": [key]} for key in _name_keys(axis)]


def _name_keys(axis: str) -> tuple[str, str]:
    """Return the key that names a component, and the alternative one."""
    return name_key(axis), other_name_key(axis)


def _of_plugin(axis: str, reference: Reference) -> list[Schema]:
    """Return the ways to write an installed plugin; none for an unusable one, which `validate` reports."""
    from poolctl.assembly.plugins import inspection  # few machines have plugins

    found = inspection.inspect_plugin(reference)
    if isinstance(found, inspection.Unusable):
        return []
    about = found.sentence or f"a plugin from {reference.origin}"
    named = {"const": reference.text, "description": about}
    options = {name: untitled(schema) for name, schema in found.options.items()}
    mapping = _named(axis, named, options, found.required, about)
    return [mapping] if found.required else [named, mapping]


def _forms(axis: str, word: str) -> list[Schema]:
    """Return the ways to write one word."""
    part = part_class(axis, word)
    about = described(part)
    options = options_schema(part)
    needed = required_options(part)
    named = {"const": word, "description": about}
    default = axis == "protocol" or (axis == "pool" and word == DEFAULT_POOL)
    mapping = _named(axis, named, options, needed, about, default)
    forms = [mapping] if needed else [named, mapping]
    if word in SHORT.get(axis, {}):
        forms.append(_short(word, SHORT[axis][word], options, about))
    return forms


def _short(word: str, option: str, options: Schema, about: str) -> Schema:
    """Return the short form, in which the word is the key of its main option: {wsgi: shop:app}."""
    value = options.get(option, {"type": "null"})
    others = {key: schema for key, schema in options.items() if key != option}
    return _mapping({word: value | {"description": about}} | others, [word], about)


def _named(
    axis: str, named: Schema, options: Schema, needed: Sequence[str], about: str, default: bool = False
) -> Schema:
    """Return the mapping of a word with its options. ``default``: whether the name may be omitted."""
    first, other = _name_keys(axis)
    keys = {first: named} | ({} if other in options else {other: named})
    mapping = _mapping(keys | options, list(needed), about)
    return mapping if default else mapping | {"anyOf": [{"required": [key]} for key in keys]}


def _mapping(properties: Schema, required: list[str], about: str) -> Schema:
    return {
        "type": "object",
        "description": about,
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _with_variables(schema: Any) -> Any:
    """Return a schema in which each scalar may also contain variables."""
    if isinstance(schema, list):
        return [_with_variables(each) for each in schema]
    if not isinstance(schema, dict) or schema == VARIABLE:
        return schema
    if _is_value(schema):
        about = {key: schema[key] for key in ("description", "default") if key in schema}
        return {"anyOf": [{key: value for key, value in schema.items() if key not in about}, VARIABLE]} | about
    return {
        key: _of_keys(value) if key in ("properties", "definitions") else _below(key, value)
        for key, value in schema.items()
    }


def _of_keys(schemas: Schema) -> Schema:
    return {name: _with_variables(schema) for name, schema in schemas.items()}


def _below(key: str, value: Any) -> Any:
    return _with_variables(value) if key in ("anyOf", "items", "additionalProperties") else value


def _is_value(schema: Schema) -> bool:
    """Whether it is the schema of a number, an enumeration or a pattern. Free text accepts variables anyway, and
    constants name the forms of a mapping."""
    if "enum" in schema:
        return True
    kind = schema.get("type")
    return kind in SCALARS and (kind != "string" or "pattern" in schema) and schema.get("pattern") != HAS_VARIABLE
