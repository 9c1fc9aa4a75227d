"""Shared code of the session affinities: one worker knows a session, so all requests of it must reach that worker.

A session begins in one of two ways. If a client names it, dispatch chooses a worker for the first request with that
name. If a response names it (Set-Cookie, or an Mcp-Session-Id made by the server), it belongs to the worker that sent
the response.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from poolctl.runtime.affinity import Affinity

KEY_CHARACTERS = 256  # characters of a key; a longer one is replaced by its hash
Unknown = Annotated[
    Literal["dispatch", "refuse"],
    Field(
        description="handling of a request whose session is unknown or whose worker has died: dispatch it to any"
        " worker, or refuse it with 404"
    ),
]
Keys = Annotated[int, Field(ge=1, le=10_000_000, description="keys to remember; the one unused longest is forgotten")]
TOKEN_PATTERN = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")  # RFC 9110, 5.6.2


def named_rightly(name: str) -> str:
    """Return the name of a header or cookie if it is valid. Raises ValueError otherwise."""
    if len(name) > 128 or not TOKEN_PATTERN.fullmatch(name):
        raise ValueError("expected a name of 1 to 128 letters, digits, dashes and underscores")
    return name


Name = Annotated[
    str,
    AfterValidator(named_rightly),
    WithJsonSchema({"type": "string", "pattern": TOKEN_PATTERN.pattern, "maxLength": 128}),
]


@dataclass
class SessionAffinity(Affinity):
    """Requests with the same session name go to the same worker."""

    inspects: ClassVar[bool] = True
    learns: ClassVar[bool] = True
    forgets: ClassVar[bool] = True

    name: str
    unknown: Unknown = "dispatch"
    keys: Keys = 65536

    @property
    def remembers(self) -> int:  # type: ignore[override]  # a class variable elsewhere, an option here
        return self.keys

    @property
    def refuses(self) -> bool:  # type: ignore[override]  # as above
        return self.unknown == "refuse"


def bounded(key: str) -> str:
    """Return the key, or its SHA-256 in hexadecimal if it is longer than KEY_CHARACTERS."""
    return key if len(key) <= KEY_CHARACTERS else sha256(key.encode("utf-8", "replace")).hexdigest()


def headers_of(head: bytes, name: bytes) -> list[str]:
    """Return the values of a header in the head of a response; ``name`` is in lower case."""
    end = head.find(b"\r\n\r\n")
    found = []
    for line in head[: end if end >= 0 else len(head)].split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            found.append(value.strip().decode("latin-1"))
    return found
