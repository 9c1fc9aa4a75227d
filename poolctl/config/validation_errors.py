"""Pydantic's validation errors as findings, each at its location and in the words of topologies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from poolctl.config.diagnostic import MAX_FINDINGS, Diagnostic, Label, number_of
from poolctl.config.tree import Path, Tree
from poolctl.config.value_help import EXAMPLES, Keys, help_for, help_for_missing, is_address, shown
from poolctl.similar import similar

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
        return Diagnostic(
            "PC202", f'missing key "{path[-1]}"{within}', tree.at_key(path[:-1]), help_for_missing(tree, path)
        )
    given, place = tree.value_at(path), tree.at_value(path)
    if errors[0]["loc"][-1:] == ("[key]",):  # the error is about a key, not its value
        given, place = path[-1], tree.at_key(path)
    elif given is None and not tree.variables(path):
        place = tree.at_key(path)
    raised = [error["ctx"]["error"] for error in errors if error["type"] == "value_error"]
    sentence = "; ".join(map(str, raised)) or f"expected {' or '.join(dict.fromkeys(map(expected, errors)))}"
    if sentence.startswith("expected"):
        sentence = f"{sentence}, not {tree.written_at(path) or shown(given)}"
    help_ = help_for(tree, path, errors, keys)
    code, subject = ("PC206", "listen") if raised and is_address(path) else ("PC204", dotted(path))
    used = tree.at_key(path)
    related = (Label(used, "used here"),) if used.span[:2] > place.span[:2] and used.source is place.source else ()
    return Diagnostic(code, f"{subject}: {sentence}" if path else sentence, place, help_, related)


UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")  # the second is of a dataclass in an option


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
