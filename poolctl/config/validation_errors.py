"""Pydantic's validation errors as findings, each at its location and in the words of topologies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from poolctl.config.diagnostic import MAX_FINDINGS, Diagnostic, Label, number_of
from poolctl.config.invalid_value import InvalidValue
from poolctl.config.tree import Path, Tree
from poolctl.similar import similar

Keys = Callable[[Path], Sequence[str]]
Suggest = Callable[[str, Any], str]

_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a string",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys",
    "model_type": "a mapping of keys",
    "dataclass_type": "a mapping of keys",
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "too_short": "at least {min_length}",
    "too_long": "at most {max_length}",
    "string_too_short": "a string of at least {min_length} characters",
    "string_too_long": "a string of at most {max_length} characters",
    "string_pattern_mismatch": "a string that matches {pattern}",
    "literal_error": "{expected}",
    "enum": "{expected}",
}


def closest(word: str, words: Sequence[str], noun: str = "") -> str:
    """The help for an unknown word: the one that was probably meant, else all of them. ``noun`` is their plural."""
    begun = [f'"{each}"' for each in words if word and each.startswith(f"{word}/")]
    if begun:
        return f"did you mean {' or '.join(begun)}?"
    near = similar(word, words)
    if near:
        return f'did you mean "{near}"?'
    return f"use one of {f'the {noun} ' if noun else ''}{', '.join(words)}"


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


def unknown_key(tree: Tree, path: Path, keys: Sequence[str], suggest: Suggest | None = None) -> Diagnostic:
    """The finding for an unknown key, which ``path`` ends with. ``suggest`` is as in ``findings``."""
    key = str(path[-1])
    within = f" in {tree.named(path[:-1])}" if len(path) > 1 else ""
    help_ = _split_value_help(tree, path)
    help_ = help_ or (
        "" if key.lower() in keys else (suggest(dotted(path), tree.mapping_at(path[:-1])) if suggest else "")
    )
    help_ = help_ or (closest(key, keys, "keys") if keys else "")
    return Diagnostic("PC203", f'unknown key "{key}"{within}', tree.at_key(path), help_)


def _split_value_help(tree: Tree, path: Path) -> str:
    """The help for {trust: 10.0.0.1, 10.0.0.2} and {idle: 1,5s}, which YAML reads as two keys."""
    around = tree.mapping_at(path[:-1])
    if around.get(str(path[-1]), "") is not None:
        return ""
    names = list(around)
    number = names.index(str(path[-1]))
    before = next((name for name in reversed(names[:number]) if around[name] is not None), "")
    first = around.get(before)
    if isinstance(first, int) and re.fullmatch(r"\d+\s*[A-Za-z]*", str(path[-1])):
        return f"write the fraction with a point: {before}: {first}.{path[-1]}"
    if before in LISTS and isinstance(first, str):
        key = before if before != "at" else "listen"
        return f"put a list in brackets: {key}: [{', '.join([first, *names[names.index(before) + 1 : number + 1]])}]"
    return ""


LISTS = ("trust", "proxy_protocol", "at", "listen")  # keys that may have several values


def findings(
    tree: Tree, located: Iterable[tuple[Path, ErrorDetails]], keys: Keys, suggest: Suggest | None = None
) -> list[Diagnostic]:
    """One finding for each location.

    ``keys(path)`` returns the keys that the mapping at a path may have. ``suggest(path, around)`` returns the help for
    an unknown key, given its path with dots and the mapping that has it. Pydantic reports each member of a union;
    together they become one message.
    """
    groups: dict[Path, list[ErrorDetails]] = {}
    left: list[Path] = []  # locations beyond the maximum
    for path, error in located:
        if len(groups) >= MAX_FINDINGS:
            left.append(path)
            continue
        real = path if error["type"] in ("missing", *UNKNOWN) else _existing(tree, path)
        groups.setdefault(real, []).append(error)
    found = [(path, _finding(tree, path, errors, keys, suggest)) for path, errors in groups.items()]
    if left:
        message = f"{number_of(len(left), 'more invalid key or value', 'more invalid keys or values')} from here on"
        found.append(((), Diagnostic("PC204", message, tree.at_value(left[0]), "fix those above first")))
    intended = {key for path, each in found if each.code == "PC203" for key in _intended_keys(tree, path, each)}
    return [each for path, each in found if each.code != "PC202" or path not in intended]


def _intended_keys(tree: Tree, path: Path, unknown: Diagnostic) -> Iterator[Path]:
    """The keys that an unknown one was meant for: misspelling a required key is one mistake, not two."""
    word = re.match(r'(?:write|did you mean) "?([\w-]+)', unknown.help)
    if word:
        yield (*path[:-1], word[1])
    inside = tree.value_at(path)
    if isinstance(inside, dict):  # keys that are there, but one level too deep
        yield from ((*path[:-1], key) for key in inside)


def _finding(tree: Tree, path: Path, errors: list[ErrorDetails], keys: Keys, suggest: Suggest | None) -> Diagnostic:
    kind = errors[0]["type"]
    if kind in UNKNOWN:
        return unknown_key(tree, path, keys(path[:-1]), suggest)
    if kind == "missing" and tree.has(path):  # {wsgi: }, whose value is that of a required option
        example = EXAMPLES.get(str(path[-1]), "") or EXAMPLES.get(str(errors[0]["loc"][-1]), "")
        help_ = f"for instance {path[-1]}: {example}" if example else ""
        return Diagnostic("PC204", f"{tree.named(path)}: expected a value, not null", tree.at_key(path), help_)
    if kind == "missing":
        within = f" in {tree.named(path[:-1])}" if len(path) > 1 else ""
        return Diagnostic("PC202", f'missing key "{path[-1]}"{within}', tree.at_key(path[:-1]), _missing(tree, path))
    given, place = tree.value_at(path), tree.at_value(path)
    if errors[0]["loc"][-1:] == ("[key]",):  # the error is about a key, not its value
        given, place = path[-1], tree.at_key(path)
    elif given is None and not tree.variables(path):
        place = tree.at_key(path)
    raised = [error["ctx"]["error"] for error in errors if error["type"] == "value_error"]
    sentence = "; ".join(map(str, raised)) or f"expected {' or '.join(dict.fromkeys(map(expected, errors)))}"
    if sentence.startswith("expected"):
        sentence = f"{sentence}, not {tree.written_at(path) or shown(given)}"
    help_ = _help(tree, path, errors, keys)
    code, subject = ("PC206", "listen") if raised and _is_address(path) else ("PC204", dotted(path))
    used = tree.at_key(path)
    related = (Label(used, "used here"),) if used.span[:2] > place.span[:2] and used.source is place.source else ()
    return Diagnostic(code, f"{subject}: {sentence}" if path else sentence, place, help_, related)


def _help(tree: Tree, path: Path, errors: list[ErrorDetails], keys: Keys) -> str:
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


def _is_address(path: Path) -> bool:
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
UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")  # the second is of a dataclass in an option
_MAPPINGS = ("dict_type", "model_type", "dataclass_type")
_BOOLS = {"yes": "true", "on": "true", "1": "true", "no": "false", "off": "false", "0": "false"}


def _missing(tree: Tree, path: Path) -> str:
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


def expected(error: ErrorDetails) -> str:
    """What an error says was expected, without the word itself."""
    template = _EXPECTED.get(error["type"])
    if template is None:
        message = re.sub("^(Value error|Assertion failed), ", "", error["msg"])  # pydantic's own words
        return message[:1].lower() + message[1:]
    context = {key: f"{value:g}" if isinstance(value, float) else value for key, value in error.get("ctx", {}).items()}
    if error["type"] in ("too_short", "string_too_short") and context["min_length"] == 1:
        return "at least one" if error["type"] == "too_short" else "a string that is not empty"
    return template.format_map(context).replace("'", '"')


def _existing(tree: Tree, path: Path) -> Path:
    kept: Path = ()
    for part in path:
        if tree.has((*kept, part)):
            kept = (*kept, part)
    return kept


def dotted(path: Sequence[str | int]) -> str:
    """The path with dots between its parts."""
    return ".".join(str(part) for part in path)
