"""poolctl plugin show: what a plugin is for, what its options are, where it is from and where it fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poolctl.assembly.plugins.inspection import Description
    from poolctl.assembly.plugins.reference import Reference

LIMITS = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most", "exclusiveMaximum": "less than"}


def show(
    what: Annotated[str, typer.Argument(metavar="NAME|FILE[:CLASS]", help="An installed one, or a file's.")],
) -> None:
    """Show a plugin: its docstring, its options, its distribution, and what it fits with.

    It is imported in a process of its own.
    """
    from poolctl.assembly.glossary import axes_of, explain_key
    from poolctl.cli.plugin_find import found

    own = axes_of(what)
    if own:
        typer.echo("\n".join(explain_key(f"{axis}.{what}") for axis in own), nl=False)
        return
    reference, description = found(what)
    typer.echo("\n".join(_lines(reference, description)))


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
        from poolctl.assembly.glossary import fitting

        yield from ("", f"fits where {like} does:")
        yield from (f"  {line}" for line in fitting(reference.axis, like))
    hooks = facts.get("hooks") or []
    if hooks:
        yield from ("", f"beside pick it has: {', '.join(hooks)}")
    if reference.axis == "app":
        yield from ("", f"speaks the protocol {facts['protocol']}")


def _option(name: str, schema: dict[str, Any], description: Description) -> str:
    """Its meaning, its type and limits, its default."""
    limits = [f"{word} {schema[key]:g}" for key, word in LIMITS.items() if key in schema]
    limits += [", ".join(map(str, schema["enum"]))] if "enum" in schema else []
    kind = ", ".join([str(schema.get("type", "")), *limits]).strip(", ")
    default = "has to be given" if name in description.required else f"default: {schema.get('default', 'none')}"
    return f"{schema.get('description', '')} ({'; '.join(filter(None, [kind, default]))})"
