"""Fills in the templates of this folder.

    Key=@value@        a placeholder; a list repeats the line for each of its values
    # a comment        belongs to the line below it

A line with a value of None, or an empty list, is left out together with the comment above it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

TEMPLATES = Path(__file__).parent / "templates"
PLACEHOLDER = re.compile(r"@([a-z_]+)@")

Values = Mapping[str, str | Sequence[str] | None]


def filled(template: str, values: Values) -> str:
    """Return the text of a template. Raises KeyError if a placeholder has no value."""
    lines: list[str] = []
    comment: list[str] = []
    for line in (TEMPLATES / template).read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line)
            continue
        texts = _line(line, values)
        if texts:
            lines += [text for each in comment for text in _line(each, values)]
            lines += texts
        comment = []
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines).strip("\n") + "\n")


def _line(line: str, values: Values) -> list[str]:
    """Return the line with its values; none if one of them is missing, several for a list."""
    lists = [list(value) for name in PLACEHOLDER.findall(line) if isinstance(value := values[name], list | tuple)]
    count = min(map(len, lists), default=1)
    if any(values[name] is None for name in PLACEHOLDER.findall(line)):
        return []
    return [PLACEHOLDER.sub(lambda found, at=at: _value(values[found[1]], at), line) for at in range(count)]  # type: ignore[misc]


def _value(value: str | Sequence[str] | None, at: int) -> str:
    text = str(value) if value is None or isinstance(value, str) else value[at]
    return text.replace("\n", "\\n")  # a line that a file's name could add would be a setting
