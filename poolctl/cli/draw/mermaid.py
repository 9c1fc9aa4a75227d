"""A diagram as a Mermaid flowchart, which GitHub and many documentation tools render.

https://mermaid.js.org/syntax/flowchart.html
"""

from __future__ import annotations

from collections.abc import Iterator

from poolctl.description.diagram import Box, Diagram

SHAPES = {
    "client": ("([", "])"),
    "socket": ("[/", "/]"),
    "queue": ("[(", ")]"),
    "process": ("[", "]"),
    "thread": ("(", ")"),
}


def draw(diagram: Diagram) -> str:
    """Return the flowchart: boxes, with subgraphs for those that contain others, and arrows."""
    lines = ["flowchart TB", *_box(diagram.clients, 1)]
    for listener in diagram.listeners:
        lines += _box(listener, 1)
    lines += _box(diagram.processes, 1)
    lines += [f"    {source} -->|{_quoted(label)}| {target}" for source, target, label in diagram.arrows]
    return "\n".join(lines) + "\n"


def _box(box: Box, depth: int) -> Iterator[str]:
    pad = "    " * depth
    many = f" x {box.number}" if box.number > 1 else ""
    if box.inside:
        yield f"{pad}subgraph {box.name}[{_quoted(f'{box.title}{many}')}]"
        for inner in box.inside:
            yield from _box(inner, depth + 1)
        yield f"{pad}end"
        return
    opening, closing = SHAPES[box.kind]
    about = f"<br>{box.about}" if box.about else ""
    yield f"{pad}{box.name}{opening}{_quoted(f'{box.title}{many}{about}')}{closing}"


def _quoted(text: str) -> str:
    """Escape quotes and angle brackets as Mermaid requires; our own <br> tags stay."""
    escaped = text.replace("&", "&amp;").replace('"', "&quot;").replace("<br>", "\0").replace("<", "&lt;")
    return '"' + escaped.replace(">", "&gt;").replace("\0", "<br>") + '"'
