"""The key ``overload``: how long requests may wait for a worker when there are more of them than workers can serve."""

from typing import Annotated, Any, Literal

from pydantic import Field

from poolctl.config.invalid_value import InvalidValue
from poolctl.config.part import Part
from poolctl.config.units import TimeoutOrOff


def read_overload(value: Any) -> Any:
    """The mapping as given, and that of ``off``. Raises InvalidValue for anything else."""
    if value == "off":
        return {"target": "off"}
    if isinstance(value, dict | OverloadSection):
        return value
    if value is False or (isinstance(value, str) and value.lower() in ("no", "none", "false")):
        help_ = "write off"
    else:
        help_ = "write overload: {target: 100ms}"
    raise InvalidValue("expected a mapping of keys, or off", help_)


class OverloadSection(Part):
    """When requests that wait are refused."""

    target: Annotated[
        TimeoutOrOff,
        Field(description="how long a request may wait for a worker in an overload; off: as long as it takes"),
    ] = 0.1
    order: Annotated[
        Literal["newest", "oldest"], Field(description="which of the waiting requests goes first in an overload")
    ] = "newest"
