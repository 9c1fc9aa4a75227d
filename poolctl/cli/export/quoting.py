"""Values of unit files, quoted as systemd reads them: systemd.syntax(7), systemd.service(5), systemd.unit(5)."""

from __future__ import annotations

import re
from collections.abc import Sequence


def command_line(words: Sequence[str]) -> str:
    """Return words as ExecStart= reads them (systemd.service(5)), in which $ is special too."""
    return " ".join(quoted(each.replace("$", "$$")) for each in words)


def quoted(text: str) -> str:
    """Return one word of a list (systemd.syntax(7))."""
    escaped = path(text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t"))
    if re.fullmatch(r"[^\s\"';]+", escaped):
        return escaped
    return '"' + escaped.replace('"', '\\"') + '"'


def path(text: str) -> str:
    """Return the path of a setting that takes a single one, in which only % is special."""
    return text.replace("%", "%%")
