"""The key ``tls`` of a listening address."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from poolctl.config.host import read_path
from poolctl.config.invalid_value import InvalidValue
from poolctl.config.part import Part

File = Annotated[str, BeforeValidator(read_path), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "null"}]})]


class Certificate(Part):
    """A certificate chain and its key, in PEM."""

    certificate: Annotated[File, Field(min_length=1, description="file with the certificate and its chain")]
    key: Annotated[File, Field(description="file with the key; if left out, the certificate's file")] = ""
    password: Annotated[str, Field(description="password of the key")] = ""
    password_file: Annotated[File, Field(description="file whose first line is the password")] = ""

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password and self.password_file:
            raise InvalidValue("password and password_file are mutually exclusive", "keep one of them")
        return self


class Clients(Part):
    """The verification of client certificates."""

    authority: Annotated[
        File, Field(min_length=1, description="file with the certificates of the authorities that sign them")
    ]
    required: Annotated[bool, Field(description="refuse clients without a certificate")] = True


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value or "*" in value[1:] or (value[0] == "*" and value[1:2] != "."):
        raise InvalidValue('expected a host name, or "*." and a domain', 'for instance "*.example.org"')
    return value


def _version(value: Any) -> Any:
    """The version as a string: without quotes YAML reads a number."""
    return str(value) if isinstance(value, float) else value


class Tls(Certificate):
    """TLS on one address."""

    minimum: Annotated[
        Literal["1.2", "1.3"],
        BeforeValidator(_version),
        WithJsonSchema({"enum": ["1.2", "1.3", 1.2, 1.3]}),
        Field(description="oldest version of TLS that is accepted"),
    ] = "1.2"
    ciphers: Annotated[str, Field(description="ciphers of TLS 1.2, as an OpenSSL cipher list")] = ""
    clients: Annotated[Clients | None, Field(description="verification of client certificates")] = None
    names: Annotated[
        dict[Annotated[str, BeforeValidator(_name)], Certificate],
        Field(max_length=300, description="further certificates, by the host name that a client asks for (SNI)"),
    ] = {}  # noqa: RUF012  # pydantic copies it
