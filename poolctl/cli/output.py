"""Text output of all commands.

On a terminal long lines are wrapped between words, with a hanging indent. In a pipe or a file every line stays whole.
Characters that the stream's encoding lacks are escaped; typer.echo would write UTF-8 even to an ASCII stream.
"""

from __future__ import annotations

import os
import sys
from typing import TextIO

MIN_COLUMNS = 20  # a terminal that reports fewer reports nonsense
DEFAULT_COLUMNS = 80  # of a terminal that does not report its width
HANG = "  "  # the indent of continuation lines, beyond that of the first line


def echo(text: str = "", *, err: bool = False, end: str = "\n", wrap: bool = True) -> None:
    """Write text to standard output, or to standard error. ``wrap``: False for output that programs read, whose lines
    are not wrapped on a terminal either."""
    stream = sys.stderr if err else sys.stdout
    stream.write((fold_lines(text, terminal_width(stream)) if wrap else text) + end)
    stream.flush()


def terminal_width(stream: TextIO) -> int:
    """Return the width of the terminal that a stream writes to, in columns; 0 if it is not a terminal.

    As in shells, the variable COLUMNS takes precedence.
    """
    if not stream.isatty():
        return 0
    variable = os.environ.get("COLUMNS", "")
    try:
        width = int(variable) if variable.isdecimal() else os.get_terminal_size(stream.fileno()).columns
    except OSError:
        width = 0
    return max(width or DEFAULT_COLUMNS, MIN_COLUMNS)


def fold_lines(text: str, width: int) -> str:
    """Return the text with lines of at most ``width`` characters, except for single words that are longer. A width of 0
    leaves the text as it is."""
    if not width:
        return text
    return "\n".join(part for line in text.split("\n") for part in _fold(line, width))


def _fold(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    lead = line[: len(line) - len(line.lstrip())]
    return wrap_text(line.lstrip(), width, lead, lead + HANG)


def wrap_text(text: str, width: int, lead: str = "", hang: str = "") -> list[str]:
    """Return the wrapped lines of a text. ``lead``: the indent of the first line, ``hang``: of the others."""
    import textwrap  # only needed for terminals and diagrams

    return textwrap.wrap(
        text,
        width,
        initial_indent=lead,
        subsequent_indent=hang,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
