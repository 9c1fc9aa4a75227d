"""Pydantic's findings in the words of topologies, each at its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from poolctl.config.diagnostic import Diagnostic
from poolctl.config.tree import Path, Tree

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
    "too_short": "at least {min_length} of them",
    "too_long": "at most {max_length} of them",
    "string_too_short": "a text of at least {min_length} characters",
    "string_too_long": "a text of at most {max_length} characters",
    "string_pattern_mismatch": "a text that matches {pattern}",
    "literal_error": "{expected}",
}


def similar(word: str, words: Iterable[str]) -> str | None:
    """The word that was probably meant."""
    import difflib  # only who has findings needs it

    found = difflib.get_close_matches(word, list(words), 1, 0.6)
    return found[0] if found else None


def mend(word: str, words: Sequence[str], what: str) -> str:
    """The help for an unknown word: the likely one, else all of them."""
    near = similar(word, words)
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
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:56] + '..."'


def unknown_key(tree: Tree, path: Path, keys: Sequence[str]) -> Diagnostic:
    """An unknown key, at the key itself. ``path`` ends with it."""
    key = str(path[-1])
    within = f" in {dotted(path[:-1])}" if len(path) > 1 else ""
    what = f"the keys of {dotted(path[:-1])}" if len(path) > 1 else "the keys"
    return Diagnostic("PC203", f'unknown key "{key}"{within}', tree.at_key(path), mend(key, keys, what))


def findings(tree: Tree, located: Iterable[tuple[Path, ErrorDetails]], keys: Any) -> list[Diagnostic]:
    """One diagnostic for each place. ``keys(path)`` gives the keys that a mapping may have.

    The members of a union complain one by one about the same value: together they are one sentence.
    """
    groups: dict[Path, list[ErrorDetails]] = {}
    for path, error in located:
        real = path if error["type"] in ("missing", "extra_forbidden") else _existing(tree, path)
        groups.setdefault(real, []).append(error)
    return [_finding(tree, path, errors, keys) for path, errors in groups.items()]


def _finding(tree: Tree, path: Path, errors: list[ErrorDetails], keys: Any) -> Diagnostic:
    kind = errors[0]["type"]
    if kind == "extra_forbidden":
        return unknown_key(tree, path, keys(path[:-1]))
    if kind == "missing":
        within = f" in {dotted(path[:-1])}" if len(path) > 1 else ""
        return Diagnostic("PC202", f'the key "{path[-1]}" is missing{within}', tree.at_key(path[:-1]))
    code = "PC206" if path[:1] == ("listen",) and kind == "value_error" else "PC204"
    given = tree.value_at(path)
    place = tree.at_key(path) if given is None else tree.at_value(path)
    own = [str(error["ctx"]["error"]) for error in errors if error["type"] == "value_error"]
    sentence = "; ".join(own) if own else f"expected {' or '.join(dict.fromkeys(map(expected, errors)))}"
    if code == "PC206":
        return Diagnostic(code, f"listen: {sentence}", place)
    return Diagnostic(code, f"{dotted(path)}: {sentence}, not {shown(given)}" if path else sentence, place)


def expected(error: ErrorDetails) -> str:
    template = _EXPECTED.get(error["type"])
    if template is None:
        return error["msg"][0].lower() + error["msg"][1:]
    context = {key: f"{value:g}" if isinstance(value, float) else value for key, value in error.get("ctx", {}).items()}
    return template.format_map(context).replace("'", '"')


def _existing(tree: Tree, path: Path) -> Path:
    kept: Path = ()
    for part in path:
        if tree.has((*kept, part)):
            kept = (*kept, part)
    return kept


def dotted(path: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in path)
