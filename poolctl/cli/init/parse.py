"""Reads what is typed, or given by an option, for one answer of `poolctl init`."""

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
ENDS = 4096  # characters of a path, as the kernel has it


class Wrong(Exception):
    """An answer that cannot be one, with what could."""


def read(field: str, value: Any) -> Any:
    """The value of a field of Answers. Raises Wrong."""
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
        raise Wrong(f"{error}: {fix}" if fix else str(error)) from None
    if field in ("certificate", "key"):
        return _path(field, value)
    return value


def _choice(field: str, typed: str) -> str:
    """The word that is meant; its first letters will do."""
    words = [word for word, _ in QUESTIONS[field].choices]
    meant = [word for word in words if word == typed] or [word for word in words if word.startswith(typed.lower())]
    if len(meant) == 1:
        return meant[0]
    near = difflib.get_close_matches(typed, words, 1, 0.6)
    raise Wrong(f'"{typed}" is not one of {", ".join(words)}' + (f'; did you mean "{near[0]}"?' if near else ""))


def _trusted(value: str) -> None:
    """Raises ValueError for what is no network, and for everybody, who could then say anything."""
    if value == "unix":
        raise ValueError("unix is for a proxy that comes through a unix socket: --proxy unix")
    try:
        network = read_network(value)
    except ValueError:
        raise ValueError(f'"{value}" is no address and no network, for instance 127.0.0.1 or 10.0.0.0/8') from None
    if network.endswith("/0"):
        raise ValueError(f"{value} is every address, so any client could claim any: name the network of the proxy")


def _path(what: str, value: str) -> str:
    if "\0" in value or "\n" in value or len(value) > ENDS:
        raise Wrong(f"{what}: that cannot be the path of a file")
    return value


def read_app(kind: str, value: str) -> str:
    """What an app of this kind is named by: a path for ``static`` and ``cgi``, else a target. Raises Wrong."""
    if kind in FOLDERS:
        return _path("the app", value)
    if value.endswith(".py"):
        module = value.removeprefix("./").removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        raise Wrong(f'"{value}" is a file: write the module and the name of the callable in it, {module}:app')
    if not _TARGET.fullmatch(value):
        raise Wrong(f'"{value}" does not name a callable: write package.module:callable, for instance shop.wsgi:app')
    if ":" not in value and kind not in ("wsgi", "asgi"):
        raise Wrong(f'"{value}" names a module: write {value}:FUNCTION')
    return value


def read_name(value: str) -> str:
    """The name of a server. Raises Wrong."""
    if not _NAME.fullmatch(value):
        raise Wrong(f'"{value}" cannot be the name of a server: 1 to 64 of A-Z a-z 0-9 _ . -')
    return value
