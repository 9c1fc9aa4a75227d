"""The key ``classes``: which requests get workers of their own, how many at most, and which go first."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from poolctl.config.forwarded import Networks
from poolctl.config.invalid_value import InvalidValue
from poolctl.config.part import Part

_PATH = r"/[!-~]{0,254}"
_METHOD = "[A-Za-z][A-Za-z0-9_-]{0,31}"
_HEADER = r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}(: ?[ -~]{0,256})?"
MOST_CLASSES = 100


def read_path(value: Any) -> str:
    """The first segments of a path. Raises InvalidValue."""
    if not isinstance(value, str) or not re.fullmatch(_PATH, value) or "?" in value or "#" in value:
        bare = re.sub("[^!-~]", "", str(value).partition("?")[0].partition("#")[0])[:254] if value else ""
        raise InvalidValue(
            "expected a path that begins with /, without a query", f"for instance /{bare.lstrip('/') or 'login'}"
        )
    if "**" in value or re.search(r"[^/]\*|\*[^/]", value):
        raise InvalidValue("* stands for a whole segment", "for instance /users/*/report; a path covers all below it")
    return value


def read_method(value: Any) -> str:
    """A method in upper case. Raises InvalidValue."""
    if not isinstance(value, str) or not re.fullmatch(_METHOD, value):
        raise InvalidValue("expected a method, or a list of them", "for instance POST")
    return value.upper()


def read_header(value: Any) -> str:
    """The name of a header, with a value or without. Raises InvalidValue."""
    if not isinstance(value, str) or not re.fullmatch(_HEADER, value):
        raise InvalidValue("expected the name of a header, and its value if need be", 'for instance "X-Plan: free"')
    return value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _texts(pattern: str) -> dict[str, Any]:
    text = {"type": "string", "pattern": f"^{pattern}$"}
    return {"anyOf": [text, {"type": "array", "items": text, "minItems": 1, "maxItems": 20}]}


class ClassEntry(Part):
    """One class of requests: those that fit all of ``path``, ``method``, ``header`` and ``client`` that are given."""

    name: Annotated[str, Field(pattern="^[!-~]{1,64}$", description="shown in status; by default what it matches")] = ""
    path: Annotated[
        str,
        BeforeValidator(read_path),
        WithJsonSchema({"type": "string", "pattern": f"^{_PATH}$"}),
        Field(description="first segments of the path; * is any segment"),
    ] = ""
    method: Annotated[
        tuple[Annotated[str, BeforeValidator(read_method)], ...],
        BeforeValidator(_listed),
        Field(strict=False, min_length=1, max_length=20, description="methods of the request"),
        WithJsonSchema(_texts(_METHOD)),
    ] = ()
    header: Annotated[
        str,
        BeforeValidator(read_header),
        WithJsonSchema({"type": "string", "pattern": f"^{_HEADER}$"}),
        Field(description='a header that the request has: "NAME", or "NAME: VALUE"'),
    ] = ""
    client: Annotated[Networks | None, Field(description="networks of the client's address")] = None
    reserve: Annotated[int, Field(ge=0, le=10_000, description="workers that are kept free for it")] = 0
    most: Annotated[int | None, Field(ge=1, le=1_000_000, description="requests of it that workers have at once")] = (
        None
    )
    priority: Annotated[
        int, Field(ge=-100, le=100, description="of classes that wait, the one with the highest goes first")
    ] = 0
    fair: Annotated[
        Literal["client"] | None, Field(description="client: its clients take turns, so a flood costs only its sender")
    ] = None

    @model_validator(mode="after")
    def _matches(self) -> Self:
        if not (self.path or self.method or self.header or self.client):
            raise InvalidValue(
                "a class needs path, method, header or client", "for instance {path: /login, reserve: 1}"
            )
        return self

    @property
    def kind(self) -> str:
        """The name of the class."""
        if self.name:
            return self.name
        parts = ["+".join(self.method), self.path, self.header, "+".join(self.client or ())]
        return " ".join(filter(None, parts))


def read_classes(value: Any) -> Any:
    """The list as given; a single mapping is a list of one. Raises InvalidValue."""
    if isinstance(value, dict):
        if value and all(isinstance(each, dict) for each in value.values()):
            name = str(next(iter(value)))
            raise InvalidValue("expected a list of classes", f"write a list, - {{name: {name}, ...}}")
        return [value]
    if not isinstance(value, list | tuple):
        raise InvalidValue("expected a list of classes", "for instance [{path: /login, reserve: 1}]")
    return value


def unique(entries: tuple[ClassEntry, ...]) -> tuple[ClassEntry, ...]:
    """The entries, of which no two have one name. Raises InvalidValue."""
    seen: set[str] = set()
    for entry in entries:
        if entry.kind in seen:
            raise InvalidValue(f'duplicate class "{entry.kind}"', "give one of them another name, or merge them")
        seen.add(entry.kind)
    return entries
