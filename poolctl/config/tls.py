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
    key: Annotated[File, Field(description="file with the key; the same file where it is left out")] = ""
    password: Annotated[str, Field(description="of the key")] = ""
    password_file: Annotated[File, Field(description="file whose first line is the password")] = ""

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password and self.password_file:
            raise InvalidValue("password and password_file exclude each other", "keep one of them")
        return self


class Clients(Part):
    """Certificates of clients."""

    authority: Annotated[File, Field(min_length=1, description="file with the certificates that sign them")]
    required: Annotated[bool, Field(description="refuse clients without one")] = True


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value or "*" in value[1:] or (value[0] == "*" and value[1:2] != "."):
        raise InvalidValue('expected the name of a host, or "*." and a name', 'for instance "*.example.org"')
    return value


def _version(value: Any) -> Any:
    """Without quotes a version is a number."""
    return str(value) if isinstance(value, float) else value


class Tls(Certificate):
    """TLS on one address."""

    minimum: Annotated[
        Literal["1.2", "1.3"],
        BeforeValidator(_version),
        WithJsonSchema({"enum": ["1.2", "1.3", 1.2, 1.3]}),
        Field(description="oldest version that is spoken"),
    ] = "1.2"
    ciphers: Annotated[str, Field(description="of TLS 1.2, as OpenSSL lists them")] = ""
    clients: Annotated[Clients | None, Field(description="certificates of clients")] = None
    names: Annotated[
        dict[Annotated[str, BeforeValidator(_name)], Certificate],
        Field(max_length=300, description="further certificates, by the name that a client asks for"),
    ] = {}  # noqa: RUF012  # pydantic copies it
