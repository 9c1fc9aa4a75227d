"""Explains the words and keys of the language, by the model's descriptions and the docstrings of the classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from poolctl.assembly.fitting.combination import BASELINES, SERVICES, Combination
from poolctl.assembly.fitting.rules import combinations, fits
from poolctl.assembly.options import option_fields
from poolctl.assembly.options_schema import described, options_schema
from poolctl.assembly.registry import REGISTRY, part_class, words
from poolctl.config.choice import example, name_key
from poolctl.config.load import NESTED
from poolctl.config.model import Topology
from poolctl.description.defaults import shown_default, shown_option

FITTING = ("pool", "ownership", "dispatch", "affinity")
DERIVED = {"name": "the file's name"}  # defaults that are not in the model
APPS = ("demo", "asgi", "lines", "echo", "stream")  # one of each kind that fits with other parts differently


def keys() -> list[str]:
    """Return all keys that can be explained; nested ones with dots."""
    nested = [f"{owner}.{name}" for owner, part in NESTED.items() for name in part.model_fields]
    return [
        *Topology.model_fields,
        *nested,
        "listen.tls",
        *(f"{axis}.{word}" for axis in REGISTRY for word in words(axis)),
    ]


def axes_of(word: str) -> list[str]:
    """Return the axes that have this word."""
    return [axis for axis in REGISTRY if word in words(axis)]


def options() -> list[str]:
    """Return the options of all components as AXIS.OPTION, whichever word of the axis has them."""
    every = (f"{axis}.{name}" for axis in REGISTRY for word in words(axis) for name in _names(axis, word))
    return list(dict.fromkeys(every))


def _names(axis: str, word: str) -> Iterable[str]:
    return (each.name for each in option_fields(part_class(axis, word)))


def explain_key(key: str) -> str:
    """Return the explanation of a key. Raises KeyError if it is not a key of the language."""
    first, _, rest = key.partition(".")
    if first in REGISTRY:
        return _below(first, rest) if rest else _axis(first)
    part: type[BaseModel] = Topology
    path = key.split(".")
    for name in path[:-1]:
        part = _nested(part, name)
    field = part.model_fields[path[-1]]
    lines = [f"{key}: {field.description or ''}"]
    below = _nested_or_none(part, path[-1])
    if below is not None:
        lines += ["", *(_field(name, inner) for name, inner in below.model_fields.items())]
    else:
        lines.append(f"default: {DERIVED.get(key) or shown_default(field)}")
    return "\n".join(lines) + "\n"


def _nested(part: type[BaseModel], name: str) -> type[BaseModel]:
    found = _nested_or_none(part, name)
    if found is None:
        raise KeyError(name)
    return found


def _nested_or_none(part: type[BaseModel], name: str) -> type[BaseModel] | None:
    """Return the model of a key whose value is a mapping; None for other keys."""
    if part is Topology and name in NESTED:
        return NESTED[name]
    hint: Any = part.model_fields[name].annotation
    for candidate in (hint, *getattr(hint, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _field(name: str, field: Any) -> str:
    return f"  {name}: {field.description or ''} (default: {shown_default(field)})"


def _axis(axis: str) -> str:
    lines = [f"{axis}: {Topology.model_fields[axis].description}", "", f"  {example(axis)}", ""]
    for word in words(axis):
        lines.append(f"{word}: {described(part_class(axis, word))}")
        lines += [f"    {line}" for line in _options(axis, word)]
    return "\n".join(lines) + "\n"


def _below(axis: str, rest: str) -> str:
    """Explain a word of an axis, or an option: `dispatch.random`, `dispatch.choices`, `protocol.http.body`,
    `pool.kind`."""
    if rest in words(axis):
        return _word(axis, rest)
    word, _, option = rest.rpartition(".")
    if option == name_key(axis) and not word:
        return _axis(axis)
    found = [f"  {each}: {text}" for each in words(axis) if word in ("", each) for text in _options(axis, each, option)]
    if not found:
        raise KeyError(rest)
    return "\n".join([f"{axis}.{option} is an option of:", "", *found]) + "\n"


def _word(axis: str, word: str) -> str:
    lines = [f"{axis} {word}: {described(part_class(axis, word))}"]
    options = list(_options(axis, word))
    if options:
        lines += ["", "options:", *(f"  {line}" for line in options)]
    if axis in FITTING:
        lines += ["", "fits with:", *(f"  {line}" for line in fitting(axis, word))]
    return "\n".join(lines) + "\n"


def _options(axis: str, word: str, only: str = "") -> Iterator[str]:
    """Yield the meaning of each option; with ``only`` of that option, without its name."""
    part = part_class(axis, word)
    for name, schema in options_schema(part).items():
        default = f" (default: {shown_option(part, name)})" if "default" in schema else ""
        text = f"{schema.get('description', '')}{default}"
        if name == only:
            yield text
        elif not only:
            yield f"{name}: {text}"


def fitting(axis: str, word: str, *, inspects: bool = False, finishes: bool = False) -> Iterator[str]:
    """Yield the words of the other axes that fit with this one in some combination. ``inspects``, ``finishes``: of a
    strategy that is like this word; see Combination."""
    fitting = [each for each in _allowed(inspects, finishes) if _word_of(each, axis) == word]
    for other in FITTING:
        if other == axis:
            continue
        found = [each for each in words(other) if any(_word_of(one, other) == each for one in fitting)]
        if axis == "pool" and word in BASELINES and other != "affinity":
            found = []
        yield f"{other}: {', '.join(found) or 'none, without a pool'}"


def _allowed(inspects: bool = False, finishes: bool = False) -> list[Combination]:
    every = combinations((SERVICES[app] for app in APPS), affinities=words("affinity"))
    return [each for each in every if not fits(replace(each, inspects=inspects, finishes=finishes))]


def _word_of(combination: Combination, axis: str) -> str | None:
    found: str | None = getattr(combination, axis)
    return found
