"""Renders settings as a topology file, with a comment on each line that names the source of the value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from poolctl.config.core_schema import STR, resolved_tag
from poolctl.description.settings import Setting

# A variable that must be set, instead of a value, so that no server starts with a masked secret.
MASKED = "${MASKED:?the value is masked; poolctl config --show-secrets shows it}"
PLAIN = re.compile(r"[A-Za-z0-9_./]([A-Za-z0-9_./:@+=-]*[A-Za-z0-9_./])?")
MAX_COLUMNS = 48  # before the comments; after a longer line the comment follows directly


def complete_file(settings: Sequence[Setting], *, show_secrets: bool = False) -> str:
    """Return YAML that loads to the same server, unless it has masked secrets."""
    lines = list(_lines(settings, show_secrets))
    width = max((len(text) for text, _ in lines if len(text) <= MAX_COLUMNS), default=0)
    return "".join(f"{text.ljust(width)}  # {source}\n" if source else f"{text}\n" for text, source in lines)


def _lines(settings: Sequence[Setting], show_secrets: bool) -> Iterator[tuple[str, str]]:
    """Yield each line with its comment. The keys of a mapping's parents come before its first setting."""
    above: tuple[str | int, ...] = ()
    for setting in settings:
        common = 0
        while common < min(len(above), len(setting.path) - 1) and above[common] == setting.path[common]:
            common += 1
        dash = ""
        for depth in range(common, len(setting.path) - 1):
            part = setting.path[depth]
            if isinstance(part, int):
                dash = "- "
            else:
                yield f"{_indent(setting.path, depth)}{dash}{scalar(part)}:", ""
                dash = ""
        above = setting.path[:-1]
        indent = _indent(setting.path, len(setting.path) - 1)
        if dash:
            indent = indent[:-2] + dash
        masked = setting.secret and not show_secrets
        text = json.dumps(MASKED) if masked else value(setting.shown)
        yield f"{indent}{scalar(setting.path[-1])}: {text}", setting.source + (", masked" if masked else "")


def _indent(path: Sequence[str | int], depth: int) -> str:
    return "  " * depth


def value(given: Any) -> str:
    """Return a value as YAML on one line."""
    if isinstance(given, list):
        return f"[{', '.join(map(value, given))}]"
    if isinstance(given, dict):
        return f"{{{', '.join(f'{scalar(key)}: {value(inner)}' for key, inner in given.items())}}}"
    return scalar(given)


def scalar(given: Any) -> str:
    """Return a scalar that YAML 1.2 reads back unchanged; dollars are doubled."""
    if isinstance(given, str):
        plain = PLAIN.fullmatch(given) and resolved_tag(given) == STR
        return given if plain else json.dumps(given.replace("$", "$$"), ensure_ascii=False)
    return json.dumps(given)
