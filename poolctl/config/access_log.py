"""The key ``access_log``: a format, or a mapping of a format and where its lines go."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from poolctl.config.part import Part
from poolctl.config.refused import Refused

FORMATS = ("common", "combined", "json")
FORMAT = {"anyOf": [{"enum": list(FORMATS)}, {"type": "string", "pattern": "^[ -~]*%[ -~]*$", "maxLength": 1000}]}


def _format(value: Any) -> Any:
    """A word, or a text with directives; whether those are known is said by who reads them."""
    if isinstance(value, str) and value not in FORMATS and "%" not in value:
        from poolctl.config.wording import similar

        near = similar(value, ("off", *FORMATS))
        forms = f'the formats are off, {", ".join(FORMATS)}, or a text with directives such as "%h %s"'
        raise Refused(f'"{value}" is no format', f'did you mean "{near}"?' if near else forms)
    if isinstance(value, str) and not (value.isprintable() and value.isascii()):
        raise Refused("a format is one line of ASCII, without control characters")
    return value


def _to(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise Refused("expected stdout, stderr or the path of a file")
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
    """`off` is None, and a text the format of a mapping."""
    if value == "off":
        return None
    return {"format": value} if isinstance(value, str) else value
