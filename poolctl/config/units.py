"""Times and sizes as people write them: 30s, 500ms, 2m, 64KiB, 16MiB. A plain number means seconds, or bytes."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from poolctl.config.invalid_value import InvalidValue

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 1000, "MB": 1000**2, "GB": 1000**3}

LONGEST = 86400  # seconds that a timeout can be

_QUANTITY = r"(\d{1,18}(?:\.\d{1,18})?)\s*([A-Za-z]*)"


_TIME = 'a time such as "500ms", "30s" or "2m" (a plain number is seconds)'
_SIZE = 'a size such as "64KiB" or "16MiB" (a plain number is bytes)'
# What people write for a unit, in small letters.
_ALIKE = {
    **dict.fromkeys(("millisecond", "milliseconds", "msec", "msecs"), "ms"),
    **dict.fromkeys(("second", "seconds", "sec", "secs"), "s"),
    **dict.fromkeys(("minute", "minutes", "min", "mins"), "m"),
    **dict.fromkeys(("hour", "hours", "hr", "hrs"), "h"),
    **dict.fromkeys(("byte", "bytes"), "B"),
    **dict.fromkeys(("k", "kb", "ki", "kib"), "KiB"),
    **dict.fromkeys(("m", "mb", "mi", "mib"), "MiB"),
    **dict.fromkeys(("g", "gb", "gi", "gib"), "GiB"),
}
ENDLESS = ("off", "none", "never", "no", "false", "inf", "infinite", "infinity", "unlimited", "forever", "disabled")


def seconds(value: Any) -> float:
    """The time in seconds: a number, or a string with one of the units ms, s, m, h.

    Raises ValueError, whose text says what is accepted.
    """
    number, factor = _quantity(value, SECONDS, "s", _TIME)
    return float(number * factor)


def timeout(value: Any) -> float:
    """A time that is more than 0 and at most a day. Raises ValueError as above."""
    longest = "there is no time without end here: the longest is 24h"
    if value is False or str(value).lower() in ENDLESS:
        raise InvalidValue(f"expected {_TIME}", longest)
    found = seconds(value)
    if not 0 < found <= LONGEST:
        raise InvalidValue("expected a time of more than 0 and at most 24h", longest)
    return found


def timeout_or_off(value: Any) -> float | None:
    """The same, or None for off. Raises ValueError as above."""
    if value is None or value == "off":
        return None
    if value is False or value == 0 or str(value).lower() in ENDLESS:
        raise InvalidValue("expected a time of more than 0, or off", "for no limit write off, or leave the key out")
    return timeout(value)


def size(value: Any) -> int:
    """The size in whole bytes: a number, or a string with one of the units B, KiB, MiB, GiB, kB, MB, GB.

    Raises ValueError, whose text says what is accepted.
    """
    number, factor = _quantity(value, BYTES, "B", _SIZE)
    whole = number * factor
    if whole != int(whole):
        raise InvalidValue(f"expected {_SIZE}", "write a whole number of bytes")
    return int(whole)


def _quantity(value: Any, units: dict[str, Any], plain: str, accepted: str) -> tuple[Any, Any]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value) or value < 0:
            raise InvalidValue(f"expected {accepted}", "write a number that is neither negative nor infinite")
        return value, 1
    found = re.fullmatch(_QUANTITY, value) if isinstance(value, str) else None
    if found is None:
        raise InvalidValue(f"expected {accepted}", _in_one(value, units))
    number, unit = found[1], found[2] or plain
    if unit not in units:
        raise InvalidValue(f"expected {accepted}", _unit_meant(number, unit, units))
    return (float(number) if "." in number else int(number)), units[unit]


def _unit_meant(number: str, unit: str, units: dict[str, Any]) -> str:
    """The same with the unit that was probably meant."""
    meant = unit.lower() if unit.lower() in units else _ALIKE.get(unit.lower(), "")
    if meant in units:
        return f"write {number}{meant}"
    if "h" in units and unit.lower() in ("d", "day", "days") and float(number) * 3600 * 24 <= LONGEST:
        return f"write {float(number) * 24:g}h"
    return f"the units are {', '.join(units)}"


def _in_one(value: Any, units: dict[str, Any]) -> str:
    """The help for 1h30m and 1,5s: the same with the largest unit that gives a whole number, and with a point."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,9},\d{1,2}\s*[A-Za-z]*", value):
        return f"write {value.replace(',', '.')}"
    if value is False or str(value).lower() in ENDLESS:
        return "write a number, or leave the key out for its default"
    if not isinstance(value, str) or not re.fullmatch(r"(?:\d{1,9}\s*[A-Za-z]+\s*)+", value):
        return ""
    parts = re.findall(r"(\d+)\s*([A-Za-z]+)", value)
    if any(unit not in units for _, unit in parts):
        return f"the units are {', '.join(units)}"
    total = sum(int(number) * units[unit] for number, unit in parts)
    unit = max((unit for unit in units if (total / units[unit]).is_integer()), key=units.__getitem__, default="")
    return f"in one unit: {total / units[unit]:g}{unit}" if unit else ""


_TIME_FORMS = [
    {"type": "number", "minimum": 0},
    {"type": "string", "pattern": r"^\d{1,18}(\.\d{1,18})?\s*(ms|s|m|h)?$"},
]
TIME = WithJsonSchema({"anyOf": _TIME_FORMS})
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

# The bounds are what the schema has of them.
Timeout = Annotated[float, BeforeValidator(timeout), Field(gt=0, le=LONGEST), TIME]
TimeoutOrOff = Annotated[
    float | None,
    BeforeValidator(timeout_or_off),
    WithJsonSchema({"anyOf": [*_TIME_FORMS, {"const": "off"}, {"type": "null"}]}),
]
