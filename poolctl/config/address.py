"""Listening addresses: tcp://HOST:PORT, unix:///path, systemd, systemd://NAME or fd://3."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from poolctl.config.invalid_value import InvalidValue
from poolctl.config.tls import Tls

FORMS = "tcp://HOST:PORT, unix:///PATH, systemd or fd://NUMBER"
MAX_GUESS = 500  # characters of a string that is examined for an address
UNIX_PATH_MAX = 107  # bytes: sun_path without its NUL, unix(7); 103 on macOS, where bind reports the difference

# FileDescriptorName= of systemd.socket(5), without the spaces that it allows too
SOCKET_NAME = r"[!-9;-~]{1,255}"
_TCP = r"(?:\[([^\[\]]+)\]|([^:\[\]/@\s]+)):([0-9]{1,5})"


@dataclass(frozen=True)
class Address:
    """One listening address. The scheme determines which of host, port, path and fd are set."""

    scheme: Literal["tcp", "unix", "fd", "systemd"]
    host: str = ""  # without brackets
    port: int = 0  # 0: any free port
    path: str = ""
    fd: int = -1
    name: str = ""  # of a socket that systemd passes; empty: all sockets that no other address names
    mode: int | None = field(default=None, compare=False)  # of a unix socket's file; None: as the umask allows
    owner: str = field(default="", compare=False)  # of that file: a user's name or number; empty: the process's user
    group: str = field(default="", compare=False)
    tls: Tls | None = field(default=None, compare=False)
    proxy_protocol: tuple[str, ...] = field(default=(), compare=False)  # networks of the proxies that send the header
    protocol: Any = field(default=None, compare=False)  # like the key ``protocol``; None: the topology's

    @property
    def fixed(self) -> bool:
        """Whether it names one endpoint, which cannot be bound twice."""
        return not (self.scheme == "tcp" and self.port == 0)

    @property
    def passed(self) -> bool:
        """Whether the program that starts poolctl opens the socket, and keeps it open."""
        return self.scheme in ("fd", "systemd")

    def __str__(self) -> str:
        if self.scheme == "systemd":
            return f"systemd://{self.name}" if self.name else "systemd"
        if self.scheme == "tcp":
            return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"
        return f"unix://{self.path}" if self.scheme == "unix" else f"fd://{self.fd}"


def parse_address(text: object) -> Address:
    """The address that a string names. Raises InvalidValue."""
    if not isinstance(text, str):
        raise InvalidValue(f"expected an address of the form {FORMS}", _help(text))
    if text == "systemd":
        return Address("systemd")
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in ("tcp", "unix", "fd", "systemd"):
        raise InvalidValue(f'"{text}" is not an address', _help(text))
    if scheme == "tcp":
        return _tcp(text, rest)
    if scheme == "systemd":
        return _systemd(text, rest)
    return _unix(text, rest) if scheme == "unix" else _fd(text, rest)


def likely_address(value: object) -> str:
    """The address that was probably meant by an invalid value; empty when that cannot be guessed."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"tcp://127.0.0.1:{value}" if 0 <= value <= 65535 else ""
    if not isinstance(value, str) or len(value) > MAX_GUESS:
        return ""
    if re.fullmatch("[0-9]{1,5}", value):
        return f"tcp://127.0.0.1:{value}"
    if found := re.fullmatch(rf"systemd(?:[:/]+({SOCKET_NAME}))?[:/]*", value, re.IGNORECASE):
        return f"systemd://{found[1]}" if found[1] else "systemd"
    prefixed = re.match(r"([A-Za-z]{2,5}):/*(?=\D|/|\d+\.|[0-9]{1,6}\Z)", value)
    scheme = prefixed[1].lower() if prefixed else ""
    if scheme not in ("http", "https", "tcp", "unix", "fd"):
        scheme = ""
    rest = value[prefixed.end() :] if prefixed and scheme else value
    if (scheme == "unix" and "/" in value) or (not scheme and value.startswith("/")):
        return "" if value.endswith("/") else f"unix:///{rest.lstrip('/')}"
    if scheme == "fd":
        return f"fd://{rest}" if re.fullmatch("[0-9]{1,6}", rest) else ""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[\w.*-]*)(?::([0-9]{1,5}))?/?", rest)
    if found is None or not (
        found[2] or scheme in ("http", "https") or re.fullmatch(r"[0-9]+\.[0-9.]+|localhost", rest)
    ):
        return ""
    host = found[1] if found[1] not in ("", "*") else "0.0.0.0"
    return f"tcp://{host}:{found[2] or {'http': '80', 'https': '443'}.get(scheme, '8000')}"


def _help(value: object) -> str:
    """What to write instead of a value that is not an address."""
    if isinstance(value, str):
        if re.match(r"-\S", value):
            return "put a space after the dash of each list item"
        several = [each for each in re.split(r"[\s,;]+-?", value[:MAX_GUESS]) if each]
        if len(several) > 1 and all(likely_address(each) or re.match("(unix|fd)://", each) for each in several):
            return f"put a list in brackets: [{', '.join(likely_address(each) or each for each in several)}]"
        if re.match(r"unix:[^/]|\.{0,2}/?[\w.-]+\.sock\Z", value):
            return "give a unix socket by its absolute path: unix:///run/shop.sock"
        if value.lower() in ("fd", "socket", "activation", "socket-activation", "socket_activation"):
            return "write systemd for the sockets that systemd passes, or fd://3 for the first descriptor"
    likely = likely_address(value)
    if not likely:
        return f"use {FORMS}"
    tls = isinstance(value, str) and value.lower().startswith("https:")
    return f"write {{at: {likely}, tls: {{certificate: PATH, key: PATH}}}}" if tls else f"write {likely}"


def _tcp(text: str, rest: str) -> Address:
    found = re.fullmatch(_TCP, rest)
    if found is None or "*" in rest:
        raise InvalidValue(f'"{text}" is not of the form tcp://HOST:PORT', _help_of_tcp(text, rest))
    port = int(found[3])
    if port > 65535:
        raise InvalidValue(
            f'"{text}": port {port} is out of range',
            "choose a port from 1 to 65535, or 0 for any free port",
        )
    if found[1] is not None:
        try:
            ipaddress.IPv6Address(found[1])
        except ValueError:
            message = f'"{text}": "{found[1]}" is not an IPv6 address'
            raise InvalidValue(message, "for instance tcp://[::1]:8000") from None
    return Address("tcp", host=found[1] or found[2], port=port)


def _help_of_tcp(text: str, rest: str) -> str:
    if re.fullmatch(r"[\w.*-]*:[0-9]{1,5}/?|localhost|[0-9.]+", rest):
        return f"write {likely_address(rest)}"
    if re.search(r"[\s,;]", text):
        return _help(text)
    if re.fullmatch(r".*:[a-z]+", rest):
        return "write the port as a number: 80 for http, 443 for https"
    return "use tcp://0.0.0.0:PORT for all interfaces, and put an IPv6 address in brackets: tcp://[::1]:PORT"


def _unix(text: str, rest: str) -> Address:
    if not rest.startswith("/") or rest.endswith("/"):
        raise InvalidValue(
            f'"{text}" does not give the absolute path of a file', "write three slashes: unix:///run/shop.sock"
        )
    if len(rest.encode()) > UNIX_PATH_MAX:
        raise InvalidValue(
            f'"{text}" has a path of more than {UNIX_PATH_MAX} bytes, the most that the kernel accepts',
            "choose a shorter path",
        )
    return Address("unix", path=rest)


def _systemd(text: str, rest: str) -> Address:
    if not re.fullmatch(SOCKET_NAME, rest):
        fix = "write systemd for all sockets that it passes, or for instance systemd://web"
        raise InvalidValue(f'"{text}" does not give the name of a socket (FileDescriptorName=)', fix)
    return Address("systemd", name=rest)


def _fd(text: str, rest: str) -> Address:
    if not re.fullmatch("[0-9]{1,6}", rest) or int(rest) < 3:
        raise InvalidValue(f'"{text}" does not name an inherited descriptor (3 or higher)', "for instance fd://3")
    return Address("fd", fd=int(rest))
