"""The key ``forwarded``: which proxies are trusted to name their clients."""

import ipaddress
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from poolctl.config.invalid_value import InvalidValue
from poolctl.config.part import Part

EXPECTED = "expected an address, a network such as 10.0.0.0/8, or unix"
EVERYBODY = ("*", "all", "any", "everybody", "everyone", "0.0.0.0", "::")


def read_network(value: Any) -> str:
    """The network as a string, or "unix". Raises InvalidValue."""
    if value == "unix":
        return "unix"
    if not isinstance(value, str):
        raise InvalidValue(EXPECTED, "for instance 127.0.0.1")
    try:
        found = str(ipaddress.ip_network(value))
    except ValueError as error:
        raise InvalidValue(EXPECTED, _network(value, error)) from None
    return found


def _network(value: str, error: ValueError) -> str:
    """The help for a string that is not a network."""
    if "host bits" in str(error):  # nearly right
        return f"write {ipaddress.ip_network(value, strict=False)} for the network, or {value.partition('/')[0]} alone"
    if value.lower() in EVERYBODY:
        return "name the addresses of your proxies; 0.0.0.0/0 and ::/0 let every client claim any address"
    if value.lower() == "localhost":
        return "write 127.0.0.1, and ::1 if the proxy connects over IPv6"
    if re.fullmatch(r"[0-9a-fA-F.:/]+([\s,;]+[0-9a-fA-F.:/]+)+", value[:500]):
        return f"put a list in brackets: [{', '.join(re.split(r'[ ,;]+', value))}]"
    found = re.fullmatch(r"(\d{1,3})(?:\.(\d{1,3}))?(?:\.(\d{1,3}))?(?:\.\*){1,3}", value)
    if found:
        octets = [each for each in found.groups() if each]
        return f"write {'.'.join(octets + ['0'] * (4 - len(octets)))}/{8 * len(octets)}"
    return "write the address, for instance 127.0.0.1: host names are not resolved"


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


class ForwardedSection(Part):
    """The trusted proxies, and the header that they write."""

    trust: Networks
    header: Annotated[Literal["x-forwarded", "forwarded"], Field(description="which headers the proxies write")] = (
        "x-forwarded"
    )


def read_forwarded(value: Any) -> Any:
    """None for `off`, a mapping as given. Raises InvalidValue for anything else."""
    if value is None or value == "off":
        return None
    if isinstance(value, dict | ForwardedSection):
        return value
    if value is False or (isinstance(value, str) and value.lower() in ("no", "none", "false")):
        help_ = "write off"
    else:
        text = str(value) if isinstance(value, str) and _is_network(value) else "127.0.0.1"
        help_ = f"write forwarded: {{trust: {text}}}, with the addresses of your proxies"
    raise InvalidValue("expected a mapping of keys, or off", help_)


def _is_network(value: str) -> bool:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        return False
    return True
