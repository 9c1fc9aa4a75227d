"""How defaults are shown: with their unit, as a person would write them."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from poolctl.config.units import BYTES, READERS, SECONDS

BINARY = ("B", "KiB", "MiB", "GiB")


def unit_of_field(field: Any) -> str:
    """Return the unit of a model field: seconds, bytes or empty."""
    for mark in field.metadata:
        for unit, reader in READERS.items():
            if mark is reader[0] or mark is reader[1]:
                return unit
    return unit_of(field.annotation)


def unit_of(hint: Any) -> str:
    """Return the unit of an annotation, optional ones included; empty without a unit."""
    for mark in getattr(hint, "__metadata__", ()):
        for unit, reader in READERS.items():
            if mark == unit or mark is reader[0]:
                return unit
    if get_origin(hint) is not None:
        return next((unit for inner in get_args(hint) if (unit := unit_of(inner))), "")
    return ""


def with_unit(value: Any, unit: str) -> Any:
    """Return a default as a person would write it: 30s, 32KiB."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not unit or not value:
        return value
    units = dict(SECONDS.items()) if unit == "seconds" else {name: float(BYTES[name]) for name in BINARY}
    # The largest unit that gives a whole number.
    name, factor = max(((n, f) for n, f in units.items() if (value / f).is_integer()), key=lambda pair: pair[1])
    return f"{int(value / factor)}{name}"


def shown_default(field: Any) -> str:
    """Return the default of a model field, as a person would write it."""
    if field.is_required():
        return "none, it is required" if field.default_factory is None else "see its keys"
    value = field.get_default(call_default_factory=True)
    return "see its keys" if isinstance(value, BaseModel) else _shown(value, unit_of_field(field))


def shown_option(part: type[Any], name: str) -> str:
    """Return the default of a part's option, as a person would write it."""
    (option,) = (field for field in fields(part) if field.name == name)
    default = option.default if option.default_factory is MISSING else option.default_factory()
    return _shown(default, unit_of(get_type_hints(part, include_extras=True)[name]))


def _shown(value: Any, unit: str) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "none"
    if value in (None, "", {}):
        return "none"
    shown = with_unit(value, unit)
    return str(shown).lower() if isinstance(shown, bool) else str(shown)
