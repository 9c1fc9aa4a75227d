"""poolctl plugin show: a plugin's purpose, options and origin, and what it fits with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poolctl.cli.output import echo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poolctl.assembly.plugins.inspection import Description
    from poolctl.assembly.plugins.reference import Reference

LIMITS = {
    "minimum": "at least {:g}",
    "exclusiveMinimum": "more than {:g}",
    "maximum": "at most {:g}",
    "exclusiveMaximum": "less than {:g}",
    "minLength": "at least {} long",
    "maxLength": "at most {} long",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
}


def show(
    what: Annotated[str, typer.Argument(metavar="NAME|FILE[:CLASS]", help="An installed plugin, or one in a file.")],
) -> None:
    """Show a plugin: its docstring, options and distribution, and what it fits with.

    It is imported in a separate process.
    """
    from poolctl.cli.plugin.find import find_plugin
    from poolctl.description.glossary import axes_of, explain_key

    own = axes_of(what)
    if own:
        echo("\n".join(explain_key(f"{axis}.{what}") for axis in own), end="")
        return
    reference, description = find_plugin(what)
    if not description.required:  # only an instance tells whether it inspects requests
        from poolctl.assembly.plugins.inspection import Description, inspect_plugin

        made = inspect_plugin(reference, {})
        description = made if isinstance(made, Description) else description
    echo("\n".join(_lines(reference, description)))


def _lines(reference: Reference, description: Description) -> Iterator[str]:
    yield f"{reference.axis} {reference.text}: {description.sentence or 'it has no docstring'}"
    more = description.about.partition("\n\n")[2].strip()
    if more:
        yield from ("", more)
    yield from ("", f"from: {reference.origin}")
    if description.options:
        yield from ("", "options:")
        yield from (f"  {name}: {_option(name, schema, description)}" for name, schema in description.options.items())
    facts = dict(description.facts)
    like = facts.get("like")
    if like:
        from poolctl.description.glossary import fitting

        yield from ("", f"fits where {like} does:")
        asks = {"inspects": bool(facts.get("inspects")), "finishes": "finished" in (facts.get("hooks") or ())}
        yield from (f"  {line}" for line in fitting(reference.axis, like, **asks))
    hooks = facts.get("hooks") or []
    if hooks:
        yield from ("", f"methods besides pick: {', '.join(hooks)}")
    if reference.axis == "app":
        yield from ("", f"protocol: {facts['protocol']}")


def _option(name: str, schema: dict[str, Any], description: Description) -> str:
    """Return an option's meaning, type, limits and default."""
    kind = ", ".join(filter(None, _kinds(schema)))
    value = schema.get("default", "none")
    given = json.dumps(value) if value == "" or isinstance(value, bool | list | dict) else value
    default = "required" if name in description.required else f"default: {given}"
    return f"{schema.get('description', '')} ({'; '.join(filter(None, [kind, default]))})".strip()


def _kinds(schema: dict[str, Any]) -> Iterator[str]:
    """Yield the type of a value and its limits, in words."""
    from poolctl.config.units import READERS

    units = {"seconds": "a time", "bytes": "a size"}
    of_unit = [word for unit, word in units.items() if schema.get("anyOf") == READERS[unit][1].json_schema["anyOf"]]
    if "enum" in schema:
        yield ", ".join(map(str, schema["enum"]))
    elif of_unit:
        yield of_unit[0]
    elif "anyOf" in schema:
        yield " or ".join(", ".join(_kinds(each)) for each in schema["anyOf"])
    elif "properties" in schema:
        yield f"a mapping of {', '.join(schema['properties'])}"
    else:
        yield str(schema.get("const") or schema.get("type") or "anything")
    yield from (word.format(schema[key]) for key, word in LIMITS.items() if key in schema)
    if isinstance(schema.get("items"), dict):
        yield f"each {', '.join(_kinds(schema['items']))}"
