"""The key ``forwarded``: which proxies may say who their clients are."""

import ipaddress
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from poolctl.config.part import Part
from poolctl.config.refused import Refused


def read_network(value: Any) -> str:
    if value == "unix":
        return "unix"
    if not isinstance(value, str):
        raise Refused("expected an address, a network such as 10.0.0.0/8, or unix")
    try:
        return str(ipaddress.ip_network(value))
    except ValueError as error:
        raise Refused("expected an address, a network such as 10.0.0.0/8, or unix", _network(value, error)) from None


def _network(value: str, error: ValueError) -> str:
    """A network whose address has bits of a host, which is nearly right."""
    if "host bits" not in str(error):
        return ""
    return f'the network of it is "{ipaddress.ip_network(value, strict=False)}"'


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Networks = Annotated[
    tuple[Annotated[str, BeforeValidator(read_network)], ...],
    BeforeValidator(_as_list),
    Field(min_length=1, max_length=1000, strict=False, description="addresses, networks, or unix"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": "^(unix|[0-9a-fA-F.:]+(/[0-9.]+)?)$"},
                {
                    "type": "array",
                    "items": {"type": "string", "pattern": "^(unix|[0-9a-fA-F.:]+(/[0-9.]+)?)$"},
                    "minItems": 1,
                    "maxItems": 1000,
                },
            ]
        }
    ),
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
