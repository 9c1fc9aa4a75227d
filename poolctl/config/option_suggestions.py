"""Help for command-line options of other servers: what sets the same thing in poolctl.

The words are those of other_servers.py, and the help comes from suggestions.py: all options of a command line are read
as a mapping of keys, so that --host and --port become one address, and --workers and --threads one pool.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from poolctl.config.core_schema import construct
from poolctl.config.diagnostic import Invalid
from poolctl.config.loader import parse
from poolctl.config.other_servers import ANSWERS, LETTERS, OPTIONS, PID, PORT, SWITCHES
from poolctl.config.sources import option
from poolctl.config.suggestions import is_address, suggest_key, without_dashes, written

MAX_OPTIONS = 40  # that are examined


def suggest_options(
    words: Sequence[str], known: Mapping[str, bool], keys: Collection[str], nested: Mapping[str, type[BaseModel]]
) -> dict[str, str]:
    """The unknown options of a command line, each with its help, which is empty where nothing is known about it.

    ``known`` maps the options of the command to whether they take a value. ``keys`` and ``nested`` are the keys of a
    topology and its nested mappings.
    """
    unknown = list(_unknown(words, known))[:MAX_OPTIONS]
    around: dict[str, Any] = {}
    for _, key, value in unknown:
        around[key] = [*_listed(around[key]), value] if key in around else value
    return {option: _help(key, around, keys, nested) for option, key, _ in unknown}


def as_options(help_: str) -> str:
    """The options of poolctl that are equivalent to the line that a help says to write; empty where there are none."""
    line = help_.removeprefix("write ")
    if line == help_ or re.search(r"\.\.\.|[A-Z]{2,}", line):  # it has placeholders
        return ""
    try:
        node = parse(option(line))
        given = construct(node) if node is not None else None
    except Invalid:
        return ""
    return " ".join(_options(given)) if isinstance(given, dict) else ""


def _options(given: dict[str, Any], owner: str = "") -> Iterator[str]:
    for key, value in given.items():
        if isinstance(value, dict):
            yield from _options(value, f"{owner}{key}.")
        elif owner + key == "listen":
            yield from (f"--listen {each}" for each in _listed(value))
        else:
            shown = str(value).lower() if isinstance(value, bool) else value
            yield f"--set {owner}{key}={shown}"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _unknown(words: Sequence[str], known: Mapping[str, bool]) -> Iterator[tuple[str, str, Any]]:
    """Each unknown option: as it was written, as the key that it would be, and its value."""
    rest = list(words)
    while rest and (word := rest.pop(0)) != "--":
        option, equals, value = word.partition("=")
        if not re.match(r"--?\w", word):
            continue
        if option[:2] != "--" and len(option) > 2:  # -w4
            option, equals, value = word[:2], "=", word[2:].removeprefix("=")
        if option in known:
            if known[option] and not equals and rest:
                del rest[0]
            continue
        key = _key(option, value if equals else rest[0] if rest else "")
        if not equals and rest and _is_value(key, rest[0]):
            equals, value = "=", rest.pop(0)
        if not equals and key[:3] == "no-":
            yield option, key[3:], False
        else:
            yield option, key, _read(value) if equals else (True if without_dashes(key) in SWITCHES else None)


def _key(option: str, value: str) -> str:
    if option == "-p":
        return PORT if value.isdecimal() else PID
    return option[2:] if option[:2] == "--" else LETTERS.get(option[1:], option[1:])


def _is_value(key: str, word: str) -> bool:
    """Whether the word after an option is its value: not where the option is a switch, or the word is what to run."""
    if word[:1] == "-" and word != "-":
        return False
    if without_dashes(key) in SWITCHES or key[:3] == "no-":
        return word in ("-", "true", "false")
    return without_dashes(key) not in ANSWERS or without_dashes(key) == "workerclass" or not _may_be_run(word)


def _may_be_run(word: str) -> bool:
    return word.endswith((".yaml", ".yml", ".py")) or bool(re.fullmatch(r"[\w.]+:[^\W\d][\w.]*", word))


def _read(value: str) -> Any:
    """The value as YAML would read it, as far as it matters here."""
    if re.fullmatch("[0-9]{1,9}", value):
        return int(value)
    return {"true": True, "false": False}.get(value.lower(), value)


def _help(key: str, around: Mapping[str, Any], keys: Collection[str], nested: Mapping[str, type[BaseModel]]) -> str:
    plain = without_dashes(key)
    if plain in OPTIONS and not is_address(plain, around[key]):
        return OPTIONS[plain]
    name = key.replace("-", "_")
    if name.partition(".")[0] in keys:  # poolctl's own
        return f"write {written(name, around[key])}"
    return suggest_key(name, nested, {each.replace("-", "_"): value for each, value in around.items()})
