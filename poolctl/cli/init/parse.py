"""Parses one answer of `poolctl init`, typed or given by an option."""

from __future__ import annotations

import difflib
import re
from typing import Any

from poolctl.cli.init.questions import QUESTIONS
from poolctl.config.address import parse_address
from poolctl.config.forwarded import read_network
from poolctl.proposal.answers import FOLDERS

_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*(:[^\W\d]\w*(\.[^\W\d]\w*)*)?")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
PATH_MAX = 4096  # characters of a path (limits.h)


class InvalidAnswer(Exception):
    """An answer that is invalid; its text says what would be valid."""


def parse(field: str, value: Any) -> Any:
    """Return the value of a field of Answers. Raises InvalidAnswer."""
    if not isinstance(value, str):
        return value
    if QUESTIONS[field].choices:
        return QUESTIONS[field].value(_choice(field, value))
    try:
        if field == "listen":
            parse_address(value)
        if field == "trust":
            _trusted(value)
    except ValueError as error:
        fix = getattr(error, "help", "")
        raise InvalidAnswer(f"{error}: {fix}" if fix else str(error)) from None
    if field in ("certificate", "key"):
        return _path(field, value)
    return value


def _choice(field: str, typed: str) -> str:
    """Return the word of the choices that was typed; a unique prefix is enough."""
    words = [word for word, _ in QUESTIONS[field].choices]
    matches = [word for word in words if word == typed] or [word for word in words if word.startswith(typed.lower())]
    if len(matches) == 1:
        return matches[0]
    near = difflib.get_close_matches(typed, words, 1, 0.6)
    raise InvalidAnswer(
        f'"{typed}" is not one of {", ".join(words)}' + (f'; did you mean "{near[0]}"?' if near else "")
    )


def _trusted(value: str) -> None:
    """Raise ValueError for a value that is not a network, and for a network of all addresses, which would let any
    client forge its address."""
    if value == "unix":
        raise ValueError("unix is for a proxy that connects through a unix socket; use --proxy unix")
    try:
        network = read_network(value)
    except ValueError:
        raise ValueError(f'"{value}" is not an address or a network, such as 127.0.0.1 or 10.0.0.0/8') from None
    if network.endswith("/0"):
        raise ValueError(f"{value} trusts every address, so any client could forge its own; name the proxy's network")


def _path(name: str, value: str) -> str:
    if "\0" in value or "\n" in value or len(value) > PATH_MAX:
        raise InvalidAnswer(f"{name}: not a valid path")
    return value


def parse_app(kind: str, value: str) -> str:
    """Return the app: a path for ``static`` and ``cgi``, otherwise a target. Raises InvalidAnswer."""
    if kind in FOLDERS:
        return _path("the app", value)
    if value.endswith(".py"):
        module = value.removeprefix("./").removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        raise InvalidAnswer(f'"{value}" is a file; write the module and the name of its callable: {module}:app')
    if not _TARGET.fullmatch(value):
        raise InvalidAnswer(f'"{value}" does not name a callable; write package.module:callable, such as shop.wsgi:app')
    if ":" not in value and kind not in ("wsgi", "asgi"):
        raise InvalidAnswer(f'"{value}" names a module; write {value}:FUNCTION')
    return value


def parse_name(value: str) -> str:
    """Return the name of a server. Raises InvalidAnswer."""
    if not _NAME.fullmatch(value):
        raise InvalidAnswer(f'"{value}" is not a valid server name; use 1 to 64 characters of A-Z a-z 0-9 _ . -')
    return value
