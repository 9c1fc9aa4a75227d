"""Help for values that are missing or not accepted: what was probably meant, or an example."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from poolctl.config.invalid_value import InvalidValue
from poolctl.config.tree import Path, Tree
from poolctl.similar import similar

Keys = Callable[[Path], Sequence[str]]


def shown(value: Any) -> str:
    """A value for a message, shortened, in YAML's spelling."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:56] + '..."'


def help_for(tree: Tree, path: Path, errors: list[ErrorDetails], keys: Keys) -> str:
    """The help for a value that is not accepted."""
    given = path[-1] if errors[0]["loc"][-1:] == ("[key]",) else tree.value_at(path)
    raised = [error["ctx"]["error"] for error in errors if error["type"] == "value_error"]
    help_ = next((each.help for each in raised if isinstance(each, InvalidValue)), "")
    if given is None and path and not tree.variables(path) and not help_.startswith("put it in quotes"):
        return f"remove the key, or give it a value{_such_as(tree, path)}"
    octal = re.fullmatch("0o([0-7]{1,4})", tree.written_at(path)) if path[-1:] in (("umask",), ("mode",)) else None
    help_ = f'write "{int(octal[1]):04}"' if octal else help_ or _corrected(given, errors)
    if help_.startswith("put it in quotes") and tree.variables(path):
        return f'put it in quotes: "{tree.text_at(path)}"'  # the variable, not its current value
    if not help_ and errors[0]["type"] in _MAPPINGS and path and keys(path):
        glued = re.fullmatch(r"([\w-]+):(\S.*)", given, re.DOTALL) if isinstance(given, str) else None
        if glued and glued[1] in keys(path):
            return f'write a space after the colon: "{glued[1]}: {glued[2]}"'
        return f"write a mapping with some of the keys {', '.join(keys(path))}"
    return help_ or _bounds(tree, path, given, errors)


def _example(tree: Tree, path: Path) -> str:
    """An example value for the key at a path; empty where there is none."""
    if path[-1:] == ("name",):
        around = tree.value_at(path[:-1])
        word = around.get("use", around.get("kind")) if isinstance(around, dict) else around
        return "shop" if len(path) == 1 else EXAMPLES["cookie" if word == "cookie" else "header"]
    return EXAMPLES.get(str(path[-1]), "") if path else ""


def _such_as(tree: Tree, path: Path) -> str:
    example = _example(tree, path)
    return f", for instance {example}" if example else ""


def _bounds(tree: Tree, path: Path, given: Any, errors: Sequence[ErrorDetails]) -> str:
    """The help for a value out of bounds or of the wrong type, whose message already says what was expected."""
    words = [word for error in errors for word in _words(error)]
    if path[-1:] == ("size",) and "auto" in words:
        return "write a number, or auto for one per core"
    if words and isinstance(given, str | int | float):
        return f"choose one of {', '.join(words)}" if len(words) > 1 else f"write {words[0]}"
    example = _example(tree, path)
    return f"for instance {example}" if example else ""


def is_address(path: Path) -> bool:
    return path[:1] == ("listen",) and (path[-1] in ("listen", "at") or isinstance(path[-1], int))


EXAMPLES = {
    "app": "{wsgi: shop.wsgi:application}",
    "at": "tcp://0.0.0.0:8000",
    "trust": "127.0.0.1",
    "certificate": "/etc/ssl/shop.pem",
    "authority": "/etc/ssl/clients.pem",
    "target": "shop.wsgi:application",
    "wsgi": "shop.wsgi:application",
    "asgi": "shop.asgi:application",
    "cgi": "./cgi-bin",
    "static": "./public",
    "program": "./cgi-bin",
    "folder": "./public",
    "header": "Mcp-Session-Id",
    "cookie": "session",
    "listen": "tcp://0.0.0.0:8000",
    "pool": "{kind: process, size: 8}",
    "limits": "{connections: 500}",
    "timeouts": "{idle: 75s}",
    "preload": "true",
    "backlog": "2048",
    "user": "www-data",
    "tls": "{certificate: /etc/ssl/shop.pem}",
    "connections": "500",
    "concurrency": "50",
    "waiting": "100",
    "size": "8",
    "threads": "4",
    "choices": "2",
    "minimum": "1.3",
    "proxy_protocol": "10.0.0.0/8",
    "body_rate": "1KiB",
    "names": '{"*.example.org": {certificate: wild.pem}}',
}
_MAPPINGS = ("dict_type", "model_type", "dataclass_type")
_BOOLS = {"yes": "true", "on": "true", "1": "true", "no": "false", "off": "false", "0": "false"}


def help_for_missing(tree: Tree, path: Path) -> str:
    """The help for a missing key: an example of it."""
    word = tree.value_at(path[:-1]) if len(path) > 1 else None
    example = _example(tree, path)
    if example and isinstance(word, str) and path[-1] in ("target", "folder", "program", "name"):
        return f"write {path[-2]}: {{{word}: {example}}}"
    return f"for instance {path[-1]}: {example}" if example else ""


def _words(error: ErrorDetails) -> list[str]:
    """The words that are accepted as the value."""
    return re.findall("'([^']+)'", str(error.get("ctx", {}).get("expected", "")))


def _corrected(given: Any, errors: Sequence[ErrorDetails]) -> str:
    """The help that gives the value which was probably meant; empty where that cannot be guessed."""
    kinds = {error["type"] for error in errors}
    text = given.strip() if isinstance(given, str) else ""
    if "bool_type" in kinds:
        return _as_bool(given)
    if kinds & {"int_type", "float_type"} and re.fullmatch("-?[0-9]+", text):
        return "remove the quotes"
    if kinds & {"int_type", "int_from_float"}:
        if isinstance(given, float) and given.is_integer():
            return f"write {int(given)}"
        if re.fullmatch("[0-9]{1,3}([_, '][0-9]{3})+", text):
            return f"write {re.sub('[^0-9]', '', text)}"
    if kinds & {"list_type", "tuple_type"} and isinstance(given, str | int | float) and not isinstance(given, bool):
        parts = [part for part in re.split(r"\s*[,;]\s*", text) if part]
        if len(parts) > 1:
            return f"put a list in brackets: [{', '.join(map(shown, parts))}]"
        return f"write a list: [{shown(given)}]"
    if "string_type" in kinds:
        return f'put it in quotes: "{_spelled(given)}"' if isinstance(given, int | float) else ""
    words = [word for error in errors for word in _words(error)]
    if isinstance(given, bool) and ("on" if given else "off") in words:
        return f"write {'on' if given else 'off'}"
    near = similar(given, words) if words and isinstance(given, str) else None
    return f'did you mean "{near}"?' if near else ""


def _as_bool(given: Any) -> str:
    text = str(given).strip().lower()
    if isinstance(given, str) and text in ("true", "false"):
        return "remove the quotes"
    if text in _BOOLS:
        return f"write {_BOOLS[text]}" + (f": in YAML 1.2, {given} is a string" if isinstance(given, str) else "")
    return "write true or false"


def _spelled(given: Any) -> str:
    return str(given).lower() if isinstance(given, bool) else str(given)
