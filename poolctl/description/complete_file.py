"""Settings as a topology file with a comment at each line that says where its value comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from poolctl.config.loader import STR, resolved_tag
from poolctl.description.settings import Setting

# Not a value, so that nobody starts a server with it: a variable that has to be set.
MASKED = "${MASKED:?it is masked here, poolctl config --show-secrets shows it}"
PLAIN = re.compile(r"[A-Za-z0-9_./]([A-Za-z0-9_./:@+=-]*[A-Za-z0-9_./])?")
WIDEST = 48  # columns before the comments; a longer line has its comment right behind it


def complete_file(settings: Sequence[Setting], *, show_secrets: bool = False) -> str:
    """YAML that loads to the same server, unless it has secrets that are masked."""
    lines = list(_lines(settings, show_secrets))
    width = max((len(text) for text, _ in lines if len(text) <= WIDEST), default=0)
    return "".join(f"{text.ljust(width)}  # {source}\n" if source else f"{text}\n" for text, source in lines)


def _lines(settings: Sequence[Setting], show_secrets: bool) -> Iterator[tuple[str, str]]:
    """Each line and its comment. Keys of mappings that begin come before their first setting."""
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
    """A value in one line."""
    if isinstance(given, list):
        return f"[{', '.join(map(value, given))}]"
    if isinstance(given, dict):
        return f"{{{', '.join(f'{scalar(key)}: {value(inner)}' for key, inner in given.items())}}}"
    return scalar(given)


def scalar(given: Any) -> str:
    """As YAML 1.2 reads it back; dollars are written twice."""
    if isinstance(given, str):
        plain = PLAIN.fullmatch(given) and resolved_tag(given) == STR
        return given if plain else json.dumps(given.replace("$", "$$"), ensure_ascii=False)
    return json.dumps(given)
