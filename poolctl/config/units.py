"""Times and sizes with units: 30s, 500ms, 2m, 64KiB, 16MiB. A plain number means seconds or bytes."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from poolctl.config.invalid_value import InvalidValue

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 1000, "MB": 1000**2, "GB": 1000**3}

MAX_SECONDS = 86400  # the longest timeout
LONGEST_SECONDS = 3_600_000  # the longest time that is not a timeout
MOST_COUNT = 10**12
MOST_WORKERS = 4096

_QUANTITY = r"(\d{1,18}(?:\.\d{1,18})?)\s*([A-Za-z]*)"


_TIME = 'a time such as "500ms", "30s" or "2m" (a plain number is seconds)'
_SIZE = 'a size such as "64KiB" or "16MiB" (a plain number is bytes)'
# Other spellings of the units, in lower case.
_SPELLINGS = {
    **dict.fromkeys(("millisecond", "milliseconds", "msec", "msecs"), "ms"),
    **dict.fromkeys(("second", "seconds", "sec", "secs"), "s"),
    **dict.fromkeys(("minute", "minutes", "min", "mins"), "m"),
    **dict.fromkeys(("hour", "hours", "hr", "hrs"), "h"),
    **dict.fromkeys(("byte", "bytes"), "B"),
    **dict.fromkeys(("k", "kb", "ki", "kib"), "KiB"),
    **dict.fromkeys(("m", "mb", "mi", "mib"), "MiB"),
    **dict.fromkeys(("g", "gb", "gi", "gib"), "GiB"),
}
UNLIMITED = ("off", "none", "never", "no", "false", "inf", "infinite", "infinity", "unlimited", "forever", "disabled")


def seconds(value: Any) -> float:
    """The time in seconds, given as a number or as a string with one of the units ms, s, m, h.

    Raises InvalidValue, which says what is accepted.
    """
    number, factor = _quantity(value, SECONDS, "s", _TIME)
    return float(number * factor)


def timeout(value: Any) -> float:
    """A time in seconds, more than 0 and at most a day. Raises InvalidValue."""
    help_ = "choose a time of up to 24h: this timeout cannot be switched off"
    if value is False or str(value).lower() in UNLIMITED:
        raise InvalidValue(f"expected {_TIME}", help_)
    found = seconds(value)
    if not 0 < found <= MAX_SECONDS:
        raise InvalidValue("expected a time of more than 0 and at most 24h", help_)
    return found


def timeout_or_off(value: Any) -> float | None:
    """A time in seconds, more than 0 and at most a day, or None for off. Raises InvalidValue."""
    if value is None or value == "off":
        return None
    if value is False or value == 0 or str(value).lower() in UNLIMITED:
        raise InvalidValue("expected a time of more than 0, or off", "write off for no limit, or leave the key out")
    return timeout(value)


def long_time_or_off(value: Any) -> float | None:
    """A time in seconds, from a second to 1,000 hours, or None for off. Raises InvalidValue."""
    if _is_off(value, "a time of at least 1s, or off"):
        return None
    found = seconds(value)
    if not 1 <= found <= LONGEST_SECONDS:
        raise InvalidValue(f"expected {_TIME}", f"choose a time from 1s to {LONGEST_SECONDS // 3600}h, or write off")
    return found


def bytes_or_off(value: Any) -> int | None:
    """A size in bytes, of at least 1 MiB, or None for off. Raises InvalidValue."""
    if _is_off(value, "a size of at least 1MiB, or off"):
        return None
    found = size(value)
    if found < 1 << 20:
        raise InvalidValue(f"expected {_SIZE}", "choose a size of at least 1MiB, or write off")
    return found


def count_or_off(value: Any) -> int | None:
    """A number of at least 1, or None for off. Raises InvalidValue."""
    if _is_off(value, "a number of at least 1, or off"):
        return None
    if not isinstance(value, int) or not 1 <= value <= MOST_COUNT:
        raise InvalidValue("expected a whole number of at least 1, or off", "for instance 10000")
    return value


def workers_range(value: Any) -> Any:
    """The numbers of workers between which a pool grows and shrinks, {min, max}; anything else as given. Raises
    InvalidValue."""
    if not isinstance(value, dict):
        return value
    if value.keys() != {"min", "max"}:
        raise InvalidValue("a range of workers has the keys min and max", "for instance {min: 2, max: 8}")
    for each in value.values():
        number = isinstance(each, int) and not isinstance(each, bool) and 1 <= each <= MOST_WORKERS
        if not number and each != "auto":
            expected = f"a range of workers has numbers from 1 to {MOST_WORKERS}, or auto"
            raise InvalidValue(expected, "for instance {min: 2, max: 8}")
    least, most = value["min"], value["max"]
    if isinstance(least, int) and isinstance(most, int) and least >= most:
        raise InvalidValue("max must be more than min", f"write size: {least} for a fixed size")
    return value


def _is_off(value: Any, expected: str) -> bool:
    if value is None or value == "off":
        return True
    if isinstance(value, bool) or value == 0 or str(value).lower() in UNLIMITED:
        raise InvalidValue(f"expected {expected}", "write off for no limit, or leave the key out")
    return False


def size(value: Any) -> int:
    """The size in whole bytes, given as a number or as a string with one of the units B, KiB, MiB, GiB, kB, MB, GB.

    Raises InvalidValue, which says what is accepted.
    """
    number, factor = _quantity(value, BYTES, "B", _SIZE)
    whole = number * factor
    if whole != int(whole):
        raise InvalidValue(f"expected {_SIZE}", "write a whole number of bytes")
    return int(whole)


def _quantity(value: Any, units: dict[str, Any], plain: str, accepted: str) -> tuple[Any, Any]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value) or value < 0:
            raise InvalidValue(f"expected {accepted}", "write a finite number, 0 or more")
        return value, 1
    found = re.fullmatch(_QUANTITY, value) if isinstance(value, str) else None
    if found is None:
        raise InvalidValue(f"expected {accepted}", _in_one_unit(value, units))
    number, unit = found[1], found[2] or plain
    if unit not in units:
        raise InvalidValue(f"expected {accepted}", _with_known_unit(number, unit, units))
    return (float(number) if "." in number else int(number)), units[unit]


def _with_known_unit(number: str, unit: str, units: dict[str, Any]) -> str:
    """The help for an unknown unit: the value with the unit that was probably meant."""
    likely = unit.lower() if unit.lower() in units else _SPELLINGS.get(unit.lower(), "")
    if likely in units:
        return f"write {number}{likely}"
    if "h" in units and unit.lower() in ("d", "day", "days") and float(number) * 3600 * 24 <= MAX_SECONDS:
        return f"write {float(number) * 24:g}h"
    return f"use one of the units {', '.join(units)}"


def _in_one_unit(value: Any, units: dict[str, Any]) -> str:
    """The help for 1h30m and 1,5s: the value in the largest unit that gives a whole number, or with a decimal point."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,9},\d{1,2}\s*[A-Za-z]*", value):
        return f"write {value.replace(',', '.')}"
    if value is False or str(value).lower() in UNLIMITED:
        return "write a number, or leave the key out for its default"
    if not isinstance(value, str) or not re.fullmatch(r"(?:\d{1,9}\s*[A-Za-z]+\s*)+", value):
        return ""
    parts = re.findall(r"(\d+)\s*([A-Za-z]+)", value)
    if any(unit not in units for _, unit in parts):
        return f"use one of the units {', '.join(units)}"
    total = sum(int(number) * units[unit] for number, unit in parts)
    unit = max((unit for unit in units if (total / units[unit]).is_integer()), key=units.__getitem__, default="")
    return f"write {total / units[unit]:g}{unit}" if unit else ""


_TIME_FORMS = [
    {"type": "number", "minimum": 0},
    {"type": "string", "pattern": r"^\d{1,18}(\.\d{1,18})?\s*(ms|s|m|h)?$"},
]
TIME = WithJsonSchema({"anyOf": _TIME_FORMS})
_SIZE_FORMS = [
    {"type": "integer", "minimum": 0},
    {"type": "string", "pattern": r"^\d{1,18}(\.\d{1,18})?\s*(B|KiB|MiB|GiB|kB|MB|GB)?$"},
]
SIZE = WithJsonSchema({"anyOf": _SIZE_FORMS})
Seconds = Annotated[float, BeforeValidator(seconds), TIME]
Bytes = Annotated[int, BeforeValidator(size), SIZE]

_NUMBER_OF_WORKERS = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": MOST_WORKERS}, {"const": "auto"}]}
RANGE = WithJsonSchema(
    {
        "type": "object",
        "properties": {"min": _NUMBER_OF_WORKERS, "max": _NUMBER_OF_WORKERS},
        "required": ["min", "max"],
        "additionalProperties": False,
    }
)

# The units that a part may put in an annotation, Annotated[int, "bytes"], so that parts need not import this module.
READERS: dict[str, Any] = {
    "seconds": (BeforeValidator(seconds), TIME),
    "bytes": (BeforeValidator(size), SIZE),
    "workers": (BeforeValidator(workers_range), RANGE),
}

# The bounds here are for the schema; ``timeout`` checks them.
Timeout = Annotated[float, BeforeValidator(timeout), Field(gt=0, le=MAX_SECONDS), TIME]
TimeoutOrOff = Annotated[
    float | None,
    BeforeValidator(timeout_or_off),
    WithJsonSchema({"anyOf": [*_TIME_FORMS, {"const": "off"}, {"type": "null"}]}),
]
LongTimeOrOff = Annotated[
    float | None,
    BeforeValidator(long_time_or_off),
    WithJsonSchema({"anyOf": [*_TIME_FORMS, {"const": "off"}, {"type": "null"}]}),
]
BytesOrOff = Annotated[
    int | None,
    BeforeValidator(bytes_or_off),
    WithJsonSchema({"anyOf": [*_SIZE_FORMS, {"const": "off"}, {"type": "null"}]}),
]
CountOrOff = Annotated[
    int | None,
    BeforeValidator(count_or_off),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "off"}, {"type": "null"}]}),
]
