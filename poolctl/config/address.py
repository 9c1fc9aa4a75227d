"""Where a server listens: tcp://HOST:PORT, unix:///path or fd://3."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from poolctl.config.refused import Refused
from poolctl.config.tls import Tls

FORMS = "tcp://HOST:PORT, unix:///PATH or fd://NUMBER"
UNIX_PATH_MAX = 107  # bytes: sun_path less its zero, unix(7); 103 on macOS, where bind says so

_TCP = r"(?:\[([^\[\]]+)\]|([^:\[\]/@\s]+)):([0-9]{1,5})"


@dataclass(frozen=True)
class Address:
    """One listening address; of host, port, path and fd those are set that the scheme has."""

    scheme: Literal["tcp", "unix", "fd"]
    host: str = ""  # without brackets
    port: int = 0  # 0: any that is free
    path: str = ""
    fd: int = -1
    mode: int | None = field(default=None, compare=False)  # of a unix socket's file; None: what the umask leaves
    owner: str = field(default="", compare=False)  # its user, by name or number; empty: who starts poolctl
    group: str = field(default="", compare=False)
    tls: Tls | None = field(default=None, compare=False)
    proxy_protocol: tuple[str, ...] = field(default=(), compare=False)  # who begins with the header of a proxy
    protocol: Any = field(default=None, compare=False)  # as of the key ``protocol``; None: that one

    @property
    def fixed(self) -> bool:
        """Whether it names one place, which cannot be taken twice."""
        return not (self.scheme == "tcp" and self.port == 0)

    def __str__(self) -> str:
        if self.scheme == "tcp":
            return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"
        return f"unix://{self.path}" if self.scheme == "unix" else f"fd://{self.fd}"


def parse_address(text: object) -> Address:
    """The address a string names. Raises ValueError with what is wrong and what would be right."""
    if not isinstance(text, str):
        raise Refused(
            f"expected an address of the form {FORMS}", f"for instance tcp://127.0.0.1:{text}" if _port(text) else ""
        )
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in ("tcp", "unix", "fd"):
        raise Refused(f'"{text}" is not an address', _likely(text))
    if scheme == "tcp":
        return _tcp(text, rest)
    return _unix(text, rest) if scheme == "unix" else _fd(text, rest)


def _port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 65535


def _likely(text: str) -> str:
    """What was probably meant by a text that names no address."""
    if " - " in text:
        return "a list has each of its addresses in a line of its own, below the key"
    if re.fullmatch("[0-9]{1,5}", text):
        return f"for instance tcp://127.0.0.1:{text}"
    rest = re.sub(r"^(https?|tcp|unix):/*", "", text)
    if text.startswith(("/", "unix:/")):
        return f'did you mean "unix:///{rest.lstrip("/")}"?'
    if text.startswith("unix:"):
        return "with its absolute path: unix:///run/shop.sock"
    if re.fullmatch(r"(\[[^\[\]]+\]|[^:\[\]/@\s]*):[0-9]{1,5}/?", rest):
        host, _, port = rest.rstrip("/").rpartition(":")
        return f'did you mean "tcp://{host if host not in ("", "*") else "0.0.0.0"}:{port}"?'
    return f"the forms are {FORMS}"


def _tcp(text: str, rest: str) -> Address:
    found = re.fullmatch(_TCP, rest)
    if found is None:
        mend = "" if " - " not in text else _likely(text)
        mend = mend or "all interfaces are tcp://0.0.0.0:PORT, an IPv6 address stands in brackets, tcp://[::1]:PORT"
        raise Refused(f'"{text}" is not of the form tcp://HOST:PORT', mend)
    port = int(found[3])
    if port > 65535:
        raise Refused(
            f'"{text}" has the port {port}, and the highest is 65535',
            "choose a port from 1 to 65535; 0 is any free one",
        )
    if found[1] is not None:
        try:
            ipaddress.IPv6Address(found[1])
        except ValueError:
            raise Refused(f'"{text}" has no IPv6 address in its brackets', "for instance tcp://[::1]:8000") from None
    return Address("tcp", host=found[1] or found[2], port=port)


def _unix(text: str, rest: str) -> Address:
    if not rest.startswith("/") or rest.endswith("/"):
        raise Refused(f'"{text}" has to name a file by its absolute path', "with three slashes: unix:///run/shop.sock")
    if len(rest.encode()) > UNIX_PATH_MAX:
        raise Refused(
            f'"{text}" has a path of more than {UNIX_PATH_MAX} bytes, the kernel takes no more', "choose a shorter one"
        )
    return Address("unix", path=rest)


def _fd(text: str, rest: str) -> Address:
    if not re.fullmatch("[0-9]{1,6}", rest) or int(rest) < 3:
        raise Refused(
            f'"{text}" has to name a descriptor that the starter left open, 3 or higher', "for instance fd://3"
        )
    return Address("fd", fd=int(rest))
