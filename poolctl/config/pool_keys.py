"""The keys ``reload``, ``scale`` and ``recycle``: how workers start, how many there are, and when they are replaced."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from poolctl.config.invalid_value import InvalidValue
from poolctl.config.part import Part
from poolctl.config.units import BytesOrOff, CountOrOff, LongTimeOrOff, Seconds, Timeout


def read_target(value: Any) -> str:
    """The target of a request: a path with an optional query. Raises InvalidValue."""
    if not isinstance(value, str) or not re.fullmatch(r"/[!-~]{0,2000}", value) or "#" in value:
        raise InvalidValue("expected a path that begins with /, with a query if need be", "for instance /health")
    return value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def read_reload(value: Any) -> Any:
    """The mapping as given. Raises InvalidValue for a switch, which other servers have under this name."""
    if isinstance(value, bool | str | int):
        help_ = "leave it out; to reload whenever code or topology change, start the server as poolctl run FILE --watch"
        raise InvalidValue("expected a mapping of keys", help_)
    return value


class ReloadSection(Part):
    """How a new generation starts beside the old one."""

    surge: Annotated[
        CountOrOff, Field(description="how many workers may be starting at the same time; off: all of them")
    ] = None
    warm: Annotated[
        tuple[Annotated[str, BeforeValidator(read_target)], ...],
        BeforeValidator(_listed),
        Field(strict=False, max_length=100, description="GET requests that a worker answers before it is ready"),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "string", "pattern": "^/"},
                    {"type": "array", "items": {"type": "string", "pattern": "^/"}, "maxItems": 100},
                ]
            }
        ),
    ] = ()
    ready: Annotated[Timeout, Field(description="how long new workers may take to become ready")] = 60.0


class ScaleSection(Part):
    """When a pool with ``size: {min, max}`` grows and shrinks."""

    wait: Annotated[
        Seconds, Field(ge=0.001, le=60, description="it grows when every worker is busy and tasks wait for so long")
    ] = 0.02
    idle: Annotated[
        Seconds, Field(ge=1, le=86400, description="it shrinks to what was needed at most in this time")
    ] = 60.0
    memory: Annotated[
        BytesOrOff, Field(description="it does not grow while its processes use more, as PSS; off: no limit")
    ] = None


class RecycleSection(Part):
    """When a worker is replaced by a new process, which is ready first. Without a limit none is."""

    requests: Annotated[CountOrOff, Field(description="after so many requests; off: no limit")] = None
    age: Annotated[LongTimeOrOff, Field(description="after so much time; off: no limit")] = None
    memory: Annotated[
        BytesOrOff,
        Field(description="when it uses more memory than this, as PSS; off: no limit"),
    ] = None
    jitter: Annotated[
        float, Field(ge=0, le=0.9, description="part of each limit by which workers differ, so that they take turns")
    ] = 0.2
    least: Annotated[Seconds, Field(ge=0, le=86400, description="the age before which no worker is replaced")] = 30.0

    @property
    def on(self) -> bool:
        """Whether there is a limit."""
        return not (self.requests is None and self.age is None and self.memory is None)
