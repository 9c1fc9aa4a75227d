"""A picture in words and lines, for a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from poolctl.cli.output import columns, wrapped
from poolctl.description.diagram import Box, Choice, Picture

WIDEST = 100  # columns of a picture, in a pipe or a file too
TREE = {"│": "|", "├": "|", "└": "`", "─": "-"}  # and what is drawn where the encoding does not have it


def draw(picture: Picture) -> str:
    """Who is there, how a request travels, what each choice gives and costs, and what it equals."""
    width = min(columns(sys.stdout) or WIDEST, WIDEST)
    drawn = _lines_of_a_tree()
    parts = [
        *wrapped(f"{picture.name}: {picture.summary}", width, hang="  "),
        "",
        "Who is there",
        *(line.translate(drawn) for line in _tree(picture, width)),
        "",
        "How a request travels",
        *(line for number, step in enumerate(picture.steps, 1) for line in _item(f"{number:2}. ", step, width)),
        "",
        "What was chosen",
        *(line for choice in picture.choices for line in _choice(choice, width)),
    ]
    if picture.designs:
        parts += ["", "What it equals", *(line for each in picture.designs for line in _item("  * ", each, width))]
    return "\n".join(parts) + "\n"


def _lines_of_a_tree() -> dict[int, str]:
    """What stands for the lines of a tree, as str.translate takes it."""
    try:
        "".join(TREE).encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return str.maketrans(TREE)
    return {}


def _tree(picture: Picture, width: int) -> Iterator[str]:
    for listener in picture.listeners:
        about = f": {listener.about}" if listener.about else ""
        yield from _item("  ", f"{listener.title}{about}, held by the supervisor", width)
    yield from _box(picture.processes, "  ", "  ", width)


def _box(box: Box, lead: str, below: str, width: int) -> Iterator[str]:
    many = f" x {box.number}" if box.number > 1 else ""
    about = f"  {box.about}" if box.about else ""
    text = f"{box.title}{many} ({box.kind}){about}"
    hang = below + ("│  " if box.inside else "   ")
    first, *rest = wrapped(text, max(20, width - max(len(lead), len(hang)))) or [""]
    yield lead + first
    yield from (hang + line for line in rest)
    for number, inner in enumerate(box.inside, 1):
        last = number == len(box.inside)
        yield from _box(inner, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "), width)


def _choice(choice: Choice, width: int) -> Iterator[str]:
    axis, word, origin, gives, costs, options = choice
    yield from _item("  ", f"{axis}: {word}  ({origin})", width)
    for option in options:
        yield from _item("      * ", option, width)
    yield from _item("      + ", gives, width)
    yield from _item("      - ", costs, width)


def _item(lead: str, text: str, width: int) -> list[str]:
    return wrapped(text, width, lead, " " * len(lead))
