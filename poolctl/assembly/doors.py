"""Makes the door of each listening address: with TLS, with the PROXY protocol, or plain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from poolctl.assembly.resolve import MadeParts, Parts
from poolctl.config.address import Address
from poolctl.config.tls import Certificate, Tls
from poolctl.errors import TlsError
from poolctl.runtime.listen.door import Door
from poolctl.runtime.protocol import Protocol

if TYPE_CHECKING:
    from ssl import SSLContext


def tls_contexts(parts: Parts) -> list[SSLContext | None]:
    """Return the TLS context of each address, in order; None for an address without TLS.

    Certificates and keys are read here, before privileges are dropped. Raises TlsError.
    """
    pairs = zip(parts.topology.listen, parts.protocols, strict=True)
    return [tls_context(address.tls, protocol.alpn) if address.tls else None for address, protocol in pairs]


def make_doors(parts: MadeParts, contexts: Sequence[SSLContext | None]) -> list[Door]:
    """Return the door of each address, in order."""
    found = zip(parts.topology.listen, parts.protocols, contexts, strict=True)
    return [_door(address, protocol, context, number) for number, (address, protocol, context) in enumerate(found)]


def _door(address: Address, protocol: Protocol, context: SSLContext | None, number: int) -> Door:
    door = Door(protocol, number)
    if context:
        from poolctl.runtime.listen.tls_door import TlsDoor

        door = TlsDoor(door, context)
    if address.proxy_protocol:
        from poolctl.runtime.listen.proxy_door import ProxyDoor
        from poolctl.runtime.system.trust import Trust

        door = ProxyDoor(door, Trust(address.proxy_protocol))
    return door


def tls_context(settings: Tls, protocols: Sequence[str]) -> SSLContext:
    """Return the TLS context of an address. ``protocols``: names for ALPN. Raises TlsError with the option at fault."""
    from poolctl.runtime.listen.tls import CertificateFiles, server_context

    def identity(given: Certificate, name: str = "") -> CertificateFiles:
        return CertificateFiles(given.certificate, given.key, _password(given, name))

    return server_context(
        identity(settings),
        {name: identity(given, name) for name, given in settings.names.items()},
        minimum=settings.minimum,
        ciphers=settings.ciphers,
        authority=settings.clients.authority if settings.clients else "",
        required=settings.clients.required if settings.clients else False,
        protocols=protocols,
    )


def _password(given: Certificate, name: str) -> str:
    if not given.password_file:
        return given.password
    try:
        with open(given.password_file, encoding="utf-8") as file:
            return file.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise TlsError(f"tls: cannot read {given.password_file}: {reason}", "password_file", name) from error
