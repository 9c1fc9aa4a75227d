"""The key ``access_log``: a format, or a mapping of a format and where its lines go."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from poolctl.config.invalid_value import InvalidValue
from poolctl.config.part import Part

FORMATS = ("common", "combined", "json")
FORMAT = {"anyOf": [{"enum": list(FORMATS)}, {"type": "string", "pattern": "^[ -~]*%[ -~]*$", "maxLength": 1000}]}


def _format(value: Any) -> Any:
    """A word, or a text with directives; whether those are known is checked where they are compiled."""
    if isinstance(value, str) and value not in FORMATS and "%" not in value:
        from poolctl.similar import similar

        near = similar(value, ("off", *FORMATS))
        help_ = f'did you mean "{near}"?' if near else _meant(value)
        raise InvalidValue(f'unknown format "{value}"', help_)
    if isinstance(value, str) and not (value.isprintable() and value.isascii()):
        raise InvalidValue("a format is one line of ASCII, without control characters", "leave out the others")
    return value


def _meant(value: str) -> str:
    """What to write instead of a word that is no format."""
    plain = value.lower()
    if plain in ("on", "yes", "true", "enabled", "default"):
        return f"name a format: {', '.join(FORMATS)}"
    if plain in ("no", "none", "false", "disabled", "null"):
        return "write off"
    if plain in ("stdout", "stderr", "-"):
        return f"write {{to: {'stdout' if plain == '-' else plain}}}"
    if "/" in value or plain.endswith((".log", ".txt")):
        return f"write {{to: {value}}}"
    return f'the formats are off, {", ".join(FORMATS)}, or a text with directives such as "%h %s"'


def _to(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise InvalidValue("expected stdout, stderr or the path of a file", "for instance /var/log/shop.log")
    return value


class AccessLog(Part):
    """A line for each request."""

    format: Annotated[
        str,
        BeforeValidator(_format),
        WithJsonSchema(FORMAT),
        Field(max_length=1000, description="common, combined, json, or directives"),
    ] = "combined"
    to: Annotated[str, BeforeValidator(_to), Field(description="stdout, stderr, or a file")] = "stdout"


def read_access_log(value: Any) -> Any:
    """`off` is None, and a text the format of a mapping. Raises ValueError for true and false."""
    if value == "off":
        return None
    if isinstance(value, bool | int | list):
        raise InvalidValue("expected a format, a mapping of keys, or off", _meant(str(value).lower()))
    return {"format": value} if isinstance(value, str) else value
