"""The key ``forwarded``: which proxies may say who their clients are."""

import ipaddress
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from poolctl.config.part import Part


def read_network(value: Any) -> str:
    if value == "unix":
        return "unix"
    if not isinstance(value, str):
        raise ValueError("expected an address, a network such as 10.0.0.0/8, or unix")
    try:
        return str(ipaddress.ip_network(value))
    except ValueError as error:
        raise ValueError(f"{error}; expected an address, a network such as 10.0.0.0/8, or unix") from None


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Networks = Annotated[
    tuple[Annotated[str, BeforeValidator(read_network)], ...],
    BeforeValidator(_as_list),
    Field(min_length=1, max_length=1000, strict=False, description="addresses, networks, or unix"),
]


class Forwarded(Part):
    """Proxies that are believed, and the header that they write."""

    trust: Networks
    header: Annotated[Literal["x-forwarded", "forwarded"], Field(description="which headers the proxies write")] = (
        "x-forwarded"
    )


def read_forwarded(value: Any) -> Any:
    """`off` is None."""
    return None if value == "off" else value
