"""A diagram as text, for a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from poolctl.cli.output import terminal_width, wrap_text
from poolctl.description.diagram import Box, Diagram, DiagramChoice

MAX_COLUMNS = 100  # in pipes and files too
TREE = {"│": "|", "├": "|", "└": "`", "─": "-"}  # with the substitutes for encodings that lack the character


def draw(diagram: Diagram) -> str:
    """Return the processes, the path of a request, the choices with their trade-offs, and equivalent designs."""
    width = min(terminal_width(sys.stdout) or MAX_COLUMNS, MAX_COLUMNS)
    substitutes = _tree_substitutes()
    parts = [
        *wrap_text(f"{diagram.name}: {diagram.summary}", width, hang="  "),
        "",
        "Processes and sockets",
        *(line.translate(substitutes) for line in _tree(diagram, width)),
        "",
        "Path of a request",
        *(line for number, step in enumerate(diagram.steps, 1) for line in _item(f"{number:2}. ", step, width)),
        "",
        "Choices",
        *(line for choice in diagram.choices for line in _choice(choice, width)),
    ]
    if diagram.designs:
        parts += ["", "Equivalent designs", *(line for each in diagram.designs for line in _item("  * ", each, width))]
    return "\n".join(parts) + "\n"


def _tree_substitutes() -> dict[int, str]:
    """Return the translation table (str.translate) for the lines of the tree; empty if the encoding has them."""
    try:
        "".join(TREE).encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return str.maketrans(TREE)
    return {}


def _tree(diagram: Diagram, width: int) -> Iterator[str]:
    for listener in diagram.listeners:
        about = f": {listener.about}" if listener.about else ""
        yield from _item("  ", f"{listener.title}{about}, held by the supervisor", width)
    yield from _box(diagram.processes, "  ", "  ", width)


def _box(box: Box, lead: str, below: str, width: int) -> Iterator[str]:
    many = f" x {box.number}" if box.number > 1 else ""
    about = f"  {box.about}" if box.about else ""
    text = f"{box.title}{many} ({box.kind}){about}"
    hang = below + ("│  " if box.inside else "   ")
    first, *rest = wrap_text(text, max(20, width - max(len(lead), len(hang)))) or [""]
    yield lead + first
    yield from (hang + line for line in rest)
    for number, inner in enumerate(box.inside, 1):
        last = number == len(box.inside)
        yield from _box(inner, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "), width)


def _choice(choice: DiagramChoice, width: int) -> Iterator[str]:
    axis, word, origin, gives, costs, options = choice
    yield from _item("  ", f"{axis}: {word}  ({origin})", width)
    for option in options:
        yield from _item("      * ", option, width)
    yield from _item("      + ", gives, width)
    yield from _item("      - ", costs, width)


def _item(lead: str, text: str, width: int) -> list[str]:
    return wrap_text(text, width, lead, " " * len(lead))
