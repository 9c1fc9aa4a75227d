"""Times and sizes as people write them: 30s, 500ms, 2m, 64KiB, 16MiB. A plain number means seconds, or bytes."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from poolctl.config.refused import Refused

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 1000, "MB": 1000**2, "GB": 1000**3}

_QUANTITY = r"(\d{1,18}(?:\.\d{1,18})?)\s*([A-Za-z]*)"


def seconds(value: Any) -> float:
    """The time in seconds: a number, or a string with one of the units ms, s, m, h.

    Raises ValueError, whose text says what is accepted.
    """
    number, factor = _quantity(value, SECONDS, "s", 'a time such as "500ms", "30s" or "2m" (a plain number is seconds)')
    return float(number * factor)


def size(value: Any) -> int:
    """The size in whole bytes: a number, or a string with one of the units B, KiB, MiB, GiB, kB, MB, GB.

    Raises ValueError, whose text says what is accepted.
    """
    accepted = 'a size such as "64KiB" or "16MiB" (a plain number is bytes)'
    number, factor = _quantity(value, BYTES, "B", accepted)
    whole = number * factor
    if whole != int(whole):
        raise Refused(f"expected {accepted}", "it has to be a whole number of bytes")
    return int(whole)


def _quantity(value: Any, units: dict[str, Any], plain: str, accepted: str) -> tuple[Any, Any]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value) or value < 0:
            raise Refused(f"expected {accepted}", "it cannot be negative or endless")
        return value, 1
    found = re.fullmatch(_QUANTITY, value) if isinstance(value, str) else None
    if found is None:
        raise Refused(f"expected {accepted}", _in_one(value, units))
    number, unit = found[1], found[2] or plain
    if unit not in units:
        raise Refused(f"expected {accepted}", f"the units are {', '.join(units)}")
    return (float(number) if "." in number else int(number)), units[unit]


def _in_one(value: Any, units: dict[str, Any]) -> str:
    """The mend for 1h30m: the same with the largest unit that gives a whole number."""
    if not isinstance(value, str) or not re.fullmatch(r"(?:\d{1,9}\s*[A-Za-z]+\s*)+", value):
        return ""
    parts = re.findall(r"(\d+)\s*([A-Za-z]+)", value)
    if any(unit not in units for _, unit in parts):
        return f"the units are {', '.join(units)}"
    total = sum(int(number) * units[unit] for number, unit in parts)
    unit = max((unit for unit in units if (total / units[unit]).is_integer()), key=units.__getitem__, default="")
    return f"in one unit: {total / units[unit]:g}{unit}" if unit else ""


TIME = WithJsonSchema(
    {
        "anyOf": [
            {"type": "number", "minimum": 0},
            {"type": "string", "pattern": r"^\d{1,18}(\.\d{1,18})?\s*(ms|s|m|h)?$"},
        ]
    }
)
SIZE = WithJsonSchema(
    {
        "anyOf": [
            {"type": "integer", "minimum": 0},
            {"type": "string", "pattern": r"^\d{1,18}(\.\d{1,18})?\s*(B|KiB|MiB|GiB|kB|MB|GB)?$"},
        ]
    }
)
Seconds = Annotated[float, BeforeValidator(seconds), TIME]
Bytes = Annotated[int, BeforeValidator(size), SIZE]

# What a part's field may say of itself, Annotated[int, "bytes"], so that the parts need not know this module.
READERS: dict[str, Any] = {"seconds": (BeforeValidator(seconds), TIME), "bytes": (BeforeValidator(size), SIZE)}

Timeout = Annotated[Seconds, Field(gt=0, le=86400)]
