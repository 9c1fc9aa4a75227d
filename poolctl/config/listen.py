"""The key ``listen``: an address, a mapping with an address ``at`` and its options, or a list of these."""

from dataclasses import replace
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, GetPydanticSchema, WithJsonSchema, model_validator
from pydantic_core import CoreSchema, core_schema

from poolctl.config.address import Address, parse_address
from poolctl.config.forwarded import Networks
from poolctl.config.host import Account, Mode
from poolctl.config.invalid_value import InvalidValue
from poolctl.config.part import Part, instance_of, of_axis
from poolctl.config.tls import Tls

# What ``parse_address`` accepts, except for the range of ports.
ADDRESS = {
    "type": "string",
    "pattern": r"^(tcp://(\[[^\[\]]+\]|[^:\[\]/@\s]+):[0-9]{1,5}|unix:///.*[^/]|systemd(://[!-9;-~]+)?|fd://[0-9]{1,6})$",
}


def _protocol(value: Any) -> Any:
    if isinstance(value, str | dict) and value:
        return value
    raise InvalidValue("expected a name or a mapping of options", "for instance {use: http, http2: true}")


class Entry(Part):
    """One entry of the list."""

    at: Annotated[
        Address,
        instance_of(Address),
        BeforeValidator(parse_address),
        WithJsonSchema(ADDRESS),
        Field(description="where to listen: tcp://HOST:PORT, unix:///PATH, systemd or fd://NUMBER"),
    ]
    mode: Annotated[Mode | None, Field(description="permissions of a unix socket's file")] = None
    owner: Annotated[Account, Field(description="user that owns the socket's file")] = ""
    group: Annotated[Account, Field(description="group of the socket's file")] = ""
    tls: Annotated[Tls | None, Field(description="TLS on this address")] = None
    proxy_protocol: Annotated[
        Networks | None, Field(description="proxies whose connections begin with a PROXY header")
    ] = None
    protocol: Annotated[
        Any, BeforeValidator(_protocol), of_axis("protocol"), Field(description="a protocol other than the topology's")
    ] = None

    @model_validator(mode="after")
    def _unix_only(self) -> Self:
        for key in ("mode", "owner", "group"):
            if key in self.model_fields_set and self.at.scheme != "unix":
                raise InvalidValue(f"{key} applies only to unix:// addresses, not to {self.at}", "leave it out")
        return self

    @property
    def address(self) -> Address:
        """The address with its options."""
        return replace(
            self.at,
            mode=self.mode,
            owner=self.owner,
            group=self.group,
            tls=self.tls,
            proxy_protocol=self.proxy_protocol or (),
            protocol=self.protocol,
        )


def _as_list(value: Any) -> Any:
    """A list of one for a single entry, and for a number too, which is then reported as an invalid address."""
    if isinstance(value, str | dict | int):
        return [value]
    if not isinstance(value, list | tuple):
        raise InvalidValue("expected an address or a list of them", "for instance tcp://127.0.0.1:8000")
    return value


def _as_mapping(value: Any) -> Any:
    return value if isinstance(value, dict | Entry) else {"at": value}


def _through_entry(source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    """The schema that reads an address as an entry, so that findings about its keys have their locations."""
    entry = handler.generate_schema(Annotated[Entry, BeforeValidator(_as_mapping)])
    return core_schema.no_info_after_validator_function(lambda read: read.address, entry)


Listen = Annotated[
    tuple[Annotated[Address, GetPydanticSchema(_through_entry)], ...],
    BeforeValidator(_as_list),
    Field(min_length=1, strict=False, description="where to listen: one address or a list of them"),
]
