"""The key ``access_log``: a format, or a mapping with a format and a destination."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from poolctl.config.invalid_value import InvalidValue
from poolctl.config.part import Part

FORMATS = ("common", "combined", "json")
FORMAT = {"anyOf": [{"enum": list(FORMATS)}, {"type": "string", "pattern": "^[ -~]*%[ -~]*$", "maxLength": 1000}]}


def _format(value: Any) -> Any:
    """The format as given: a word, or a string with directives, which are checked when they are compiled.

    Raises InvalidValue for an unknown word or a character that is not printable ASCII.
    """
    if isinstance(value, str) and value not in FORMATS and "%" not in value:
        from poolctl.similar import similar  # only findings need it

        near = similar(value, ("off", *FORMATS))
        help_ = f'did you mean "{near}"?' if near else _suggestion(value)
        raise InvalidValue(f'unknown format "{value}"', help_)
    if isinstance(value, str) and not (value.isprintable() and value.isascii()):
        raise InvalidValue("expected one line of printable ASCII", "remove all other characters")
    return value


def _suggestion(value: str) -> str:
    """What to write instead of a word that is not a format."""
    plain = value.lower()
    if plain in ("on", "yes", "true", "enabled", "default"):
        return f"name a format: {', '.join(FORMATS)}"
    if plain in ("no", "none", "false", "disabled", "null"):
        return "write off"
    if plain in ("stdout", "stderr", "-"):
        return f"write {{to: {'stdout' if plain == '-' else plain}}}"
    if "/" in value or plain.endswith((".log", ".txt")):
        return f"write {{to: {value}}}"
    return f'use off, {", ".join(FORMATS)}, or a string with directives such as "%h %s"'


def _to(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise InvalidValue("expected stdout, stderr or the path of a file", "for instance /var/log/shop.log")
    return value


class AccessLogSection(Part):
    """Writes a line for each request."""

    format: Annotated[
        str,
        BeforeValidator(_format),
        WithJsonSchema(FORMAT),
        Field(max_length=1000, description="common, combined, json, or directives"),
    ] = "combined"
    to: Annotated[str, BeforeValidator(_to), Field(description="stdout, stderr, or a file")] = "stdout"


def read_access_log(value: Any) -> Any:
    """None for `off`, a mapping for a format alone, anything else as given.

    Raises InvalidValue for true, false, numbers and lists.
    """
    if value == "off":
        return None
    if isinstance(value, bool | int | list):
        raise InvalidValue("expected a format, a mapping of keys, or off", _suggestion(str(value).lower()))
    return {"format": value} if isinstance(value, str) else value
