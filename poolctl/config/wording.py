"""Pydantic's findings in the words of topologies, each at its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from poolctl.config.diagnostic import MOST, Diagnostic, Label
from poolctl.config.refused import Refused
from poolctl.config.tree import Path, Tree

Keys = Callable[[Path], Sequence[str]]
Elsewhere = Callable[[str], str]

_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number that is not endless",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
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
    "string_too_short": "a text of at least {min_length} characters",
    "string_too_long": "a text of at most {max_length} characters",
    "string_pattern_mismatch": "a text that matches {pattern}",
    "literal_error": "{expected}",
    "enum": "{expected}",
}


def similar(word: str, words: Iterable[str]) -> str | None:
    """The word that was probably meant."""
    import difflib  # only who has findings needs it

    found = difflib.get_close_matches(word, list(words), 1, 0.6)
    return found[0] if found else None


def mend(word: str, words: Sequence[str], what: str) -> str:
    """The help for an unknown word: the likely one, else all of them."""
    begun = [f'"{each}"' for each in words if word and each.startswith(f"{word}/")]
    if begun:
        return f"did you mean {' or '.join(begun)}?"
    near = similar(word.lower(), words)
    if near:
        return f'did you mean "{near}"?'
    return f"{what} are {', '.join(words)}" if words else f"there are no {what.removeprefix('the ')}"


def shown(value: Any) -> str:
    """A value as a reader of YAML would write it, short."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:56] + '..."'


def unknown_key(tree: Tree, path: Path, keys: Sequence[str], elsewhere: Elsewhere | None = None) -> Diagnostic:
    """An unknown key, at the key itself. ``path`` ends with it; ``elsewhere`` as below."""
    key = str(path[-1])
    within = f" in {tree.named(path[:-1])}" if len(path) > 1 else ""
    what = f"the keys of {tree.named(path[:-1])}" if len(path) > 1 else "the keys"
    help_ = "" if key.lower() in keys else (elsewhere and elsewhere(dotted(path)))
    help_ = help_ or (mend(key, keys, what) if keys else "")
    return Diagnostic("PC203", f'unknown key "{key}"{within}', tree.at_key(path), help_)


def findings(
    tree: Tree, located: Iterable[tuple[Path, ErrorDetails]], keys: Keys, elsewhere: Elsewhere | None = None
) -> list[Diagnostic]:
    """One diagnostic for each place. ``keys(path)`` gives the keys that a mapping may have, ``elsewhere(path)``,
    dots between its parts, where a key belongs that it does not have.

    The members of a union complain one by one about the same value: together they are one sentence.
    """
    groups: dict[Path, list[ErrorDetails]] = {}
    left: list[Path] = []  # where more is wrong than can be told
    for path, error in located:
        if len(groups) >= MOST:
            left.append(path)
            continue
        real = path if error["type"] in ("missing", *UNKNOWN) else _existing(tree, path)
        groups.setdefault(real, []).append(error)
    found = [(path, _finding(tree, path, errors, keys, elsewhere)) for path, errors in groups.items()]
    if left:
        message = f"{len(left)} more keys or values are not accepted, from here on"
        found.append(((), Diagnostic("PC204", message, tree.at_value(left[0]), "mend those above first")))
    # Who misspells a key that has to be there has made one mistake, not two.
    meant = {
        (*path[:-1], word) for path, each in found if each.code == "PC203" for word in re.findall(r"[\w]+", each.help)
    }
    return [each for path, each in found if each.code != "PC202" or path not in meant]


def _finding(tree: Tree, path: Path, errors: list[ErrorDetails], keys: Keys, elsewhere: Elsewhere | None) -> Diagnostic:
    kind = errors[0]["type"]
    if kind in UNKNOWN:
        return unknown_key(tree, path, keys(path[:-1]), elsewhere)
    if kind == "missing" and tree.has(path):  # {wsgi: }, whose value stands for an option
        example = EXAMPLES.get(str(errors[0]["loc"][-1]), "")
        help_ = f"for instance {path[-1]}: {example}" if example else ""
        return Diagnostic("PC204", f"{tree.named(path)}: expected a value, not nothing", tree.at_key(path), help_)
    if kind == "missing":
        within = f" in {tree.named(path[:-1])}" if len(path) > 1 else ""
        message = f'the key "{path[-1]}" is missing{within}'
        return Diagnostic("PC202", message, tree.at_key(path[:-1]), _missing(path))
    given, place = tree.value_at(path), tree.at_value(path)
    if errors[0]["loc"][-1:] == ("[key]",):  # what is said of a key, not of its value
        given, place = path[-1], tree.at_key(path)
    elif given is None and not tree.variables(path):
        place = tree.at_key(path)
    said = [error["ctx"]["error"] for error in errors if error["type"] == "value_error"]
    sentence = "; ".join(map(str, said)) or f"expected {' or '.join(dict.fromkeys(map(expected, errors)))}"
    if sentence.startswith("expected"):
        sentence = f"{sentence}, not {tree.written_at(path) or shown(given)}"
    help_ = next((each.mend for each in said if isinstance(each, Refused)), "") or _meant(given, errors)
    if help_.startswith("put it in quotes") and tree.variables(path):
        help_ = f'put it in quotes: "{tree.text_at(path)}"'  # the variable, and not what it is today
    if not help_ and kind in _MAPPINGS and path and keys(path):
        help_ = f"its keys are {', '.join(keys(path))}"
    code, subject = ("PC206", "listen") if said and _is_address(path) else ("PC204", dotted(path))
    used = tree.at_key(path)
    related = (Label(used, "used here"),) if used.span[:2] > place.span[:2] and used.source is place.source else ()
    return Diagnostic(code, f"{subject}: {sentence}" if path else sentence, place, help_, related)


def _is_address(path: Path) -> bool:
    return path[:1] == ("listen",) and (path[-1] in ("listen", "at") or isinstance(path[-1], int))


EXAMPLES = {
    "app": "{wsgi: shop.wsgi:application}",
    "at": "tcp://0.0.0.0:8000",
    "trust": "127.0.0.1",
    "certificate": "/etc/ssl/shop.pem",
    "authority": "/etc/ssl/clients.pem",
    "target": "shop.wsgi:application",
    "program": "./cgi-bin",
    "folder": "./public",
    "name": "Mcp-Session-Id",
}
UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")  # the second is of a dataclass in an option
_MAPPINGS = ("dict_type", "model_type", "dataclass_type")
_BOOLS = {"yes": "true", "on": "true", "1": "true", "no": "false", "off": "false", "0": "false"}


def _missing(path: Path) -> str:
    """An example of what has to be there."""
    example = EXAMPLES.get(str(path[-1]))
    return f"for instance {path[-1]}: {example}" if example else ""


def _meant(given: Any, errors: Sequence[ErrorDetails]) -> str:
    """What was probably meant by a value that is not accepted."""
    kinds = {error["type"] for error in errors}
    if "bool_type" in kinds and str(given).lower() in _BOOLS:
        return (
            f"write {_BOOLS[str(given).lower()]}: in YAML 1.2 {given} is a text"
            if isinstance(given, str)
            else (f"write {_BOOLS[str(given)]}")
        )
    if kinds & {"int_type", "float_type"} and isinstance(given, str) and re.fullmatch("[0-9]+", given):
        return "leave out the quotes"
    if kinds & {"int_type", "int_from_float"}:
        if isinstance(given, float) and given.is_integer():
            return f"as a whole number it is {int(given)}"
        if isinstance(given, str) and re.fullmatch("[0-9]{1,3}([_, '][0-9]{3})+", given):
            return f"write {re.sub('[^0-9]', '', given)}"
    if kinds & {"list_type", "tuple_type"} and isinstance(given, str | int | float):
        return f"a list of one is [{shown(given)}]"
    if "string_type" in kinds and isinstance(given, int | float):
        return f'put it in quotes: "{given}"'
    words = [
        word for error in errors for word in re.findall("'([^']+)'", str(error.get("ctx", {}).get("expected", "")))
    ]
    near = similar(given, words) if words and isinstance(given, str) else None
    return f'did you mean "{near}"?' if near else ""


def expected(error: ErrorDetails) -> str:
    template = _EXPECTED.get(error["type"])
    if template is None:
        return error["msg"][0].lower() + error["msg"][1:]
    context = {key: f"{value:g}" if isinstance(value, float) else value for key, value in error.get("ctx", {}).items()}
    if error["type"] in ("too_short", "string_too_short") and context["min_length"] == 1:
        return "at least one" if error["type"] == "too_short" else "a text that is not empty"
    return template.format_map(context).replace("'", '"')


def _existing(tree: Tree, path: Path) -> Path:
    kept: Path = ()
    for part in path:
        if tree.has((*kept, part)):
            kept = (*kept, part)
    return kept


def dotted(path: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in path)
