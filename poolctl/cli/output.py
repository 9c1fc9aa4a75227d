"""How commands write text: one rule for all of them.

In a terminal a line that is too long goes on in the next one, below where it began, and is broken between words only.
In a pipe or a file every line stays whole. Characters that the encoding of the stream does not have are escaped:
typer.echo would write UTF-8 even where the encoding is ASCII.
"""

from __future__ import annotations

import os
import sys
from typing import TextIO

NARROWEST = 20  # columns; a terminal that says less of itself has not said anything
USUAL = 80  # columns of a terminal that does not say how many it has
HANG = "  "  # further than the line that goes on


def say(text: str = "", *, err: bool = False, end: str = "\n", whole: bool = False) -> None:
    """Write lines to standard output, or to standard error. ``whole``: programs read them, so that they stay as they
    are in a terminal too."""
    stream = sys.stderr if err else sys.stdout
    stream.write((text if whole else folded(text, columns(stream))) + end)
    stream.flush()


def columns(stream: TextIO) -> int:
    """How wide the terminal is that a stream writes to; 0 where it is none. COLUMNS goes first, as in shells."""
    if not stream.isatty():
        return 0
    told = os.environ.get("COLUMNS", "")
    try:
        width = int(told) if told.isdecimal() else os.get_terminal_size(stream.fileno()).columns
    except OSError:
        width = 0
    return max(width or USUAL, NARROWEST)


def folded(text: str, width: int) -> str:
    """Lines of which none is longer than ``width``, unless by a word that is. 0: as they are."""
    if not width:
        return text
    return "\n".join(part for line in text.split("\n") for part in _fold(line, width))


def _fold(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    lead = line[: len(line) - len(line.lstrip())]
    return wrapped(line.lstrip(), width, lead, lead + HANG)


def wrapped(text: str, width: int, lead: str = "", hang: str = "") -> list[str]:
    """Lines of a text. ``lead``: before the first one, ``hang``: before the others."""
    import textwrap  # only for terminals and pictures

    return textwrap.wrap(
        text,
        width,
        initial_indent=lead,
        subsequent_indent=hang,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
