"""A diagram as SVG: columns from the clients to the workers, nested boxes, and arrows between them.

The file is self-contained, consists of text and rectangles, and follows the reader's light or dark color scheme. Text
widths are estimated by the widest letters of common fonts, so that no text overflows its box.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from poolctl.description.diagram import Box, Diagram

# Pixels, unless another unit is named.
LETTER = 7.4  # the width of a character at 12 px
LINE = 16  # from line to line
PAD = 10
GAP = 14  # between the boxes of a column
COLUMN = 64  # between columns
LANE = 20  # between arrows beside a column
WIDE = 30  # characters per line in a box

TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 L8 4 L0 8 z"/></marker></defs>'
)
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1b1f24 }
  .title { font-weight: 600 }
  .about { fill: #57606a }
  .label { fill: #57606a; font-size: 11px }
  rect { fill: #ffffff; stroke: #8c959f }
  .outer { fill: #f6f8fa }
  .thread { rx: 8; stroke-dasharray: 4 2 }
  .socket { fill: #ddf4ff }
  .queue { fill: #fff8c5 }
  path { fill: none; stroke: #57606a }
  marker path { fill: #57606a }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .about, .label { fill: #9198a1 }
    rect { fill: #151b23; stroke: #656c76 }
    .outer { fill: #0d1117 }
    .socket { fill: #0c2d4a }
    .queue { fill: #3b2e00 }
    path { stroke: #9198a1 }
    marker path { fill: #9198a1 }
  }
"""


class Placed(NamedTuple):
    """A box with its position and size, in pixels from the top left."""

    box: Box
    x: float
    y: float
    width: float
    height: float
    lines: list[str]  # below the title
    inside: tuple[Placed, ...]


def draw(diagram: Diagram) -> str:
    """Return the diagram as one SVG file."""
    columns = [[diagram.clients], list(diagram.listeners), [diagram.processes]]
    placed: list[Placed] = []
    x = float(PAD)
    for boxes in columns:
        y = float(PAD + 28)
        column = []
        for box in boxes:
            column.append(_placed(box, x, y))
            y += column[-1].height + GAP
        placed += column
        x = max(each.x + each.width for each in column) + COLUMN
    by_name = {name: each for top in placed for name, each in _named(top)}
    legend = list(_legend(diagram, by_name))
    floor = max(each.y + each.height for each in placed) + GAP
    body = [line for each in placed for line in _drawn(each)]
    body += _arrows(diagram, by_name)
    for number, line in enumerate(legend):
        body.append(f'<text class="label" x="{PAD}" y="{floor + 12 + LINE * number:.0f}">{escape(line)}</text>')
    title = escape(f"{diagram.name}: {diagram.summary}")
    lanes = LANE * (len(diagram.arrows) + 1)
    right = max(each.x + each.width for each in placed) + lanes
    width = max(right, *(len(text) * LETTER for text in (title, *legend))) + 2 * PAD
    height = floor + LINE * len(legend) + PAD
    head = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" role="img"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {head} aria-label="{title}">',
        f"<style>{STYLE}</style>",
        TIP,
        f'<text class="title" x="{PAD}" y="{PAD + 12}">{title}</text>',
        *body,
        "</svg>\n",
    ]
    return "\n".join(parts)


def _placed(box: Box, x: float, y: float) -> Placed:
    lines = textwrap.wrap(box.about, WIDE)
    title = _title(box)
    width = max(len(text) for text in (title, *lines, "")) * LETTER + 2 * PAD
    below = y + PAD + LINE * (1 + len(lines)) + 4
    inside = []
    for inner in box.inside:
        inside.append(_placed(inner, x + PAD, below))
        below += inside[-1].height + GAP
    width = max(width, *(each.width + 2 * PAD for each in inside), 0)
    height = below - y + (PAD - GAP if inside else 0)
    return Placed(box, x, y, width, height + (PAD if not inside else 4), lines, tuple(inside))


def _title(box: Box) -> str:
    many = f" x {box.number}" if box.number > 1 else ""
    kind = f" ({box.kind})" if box.kind in ("process", "thread", "queue") else ""
    return f"{box.title}{many}{kind}"


def _drawn(placed: Placed) -> Iterator[str]:
    kind = f"{placed.box.kind} outer" if placed.inside else placed.box.kind
    yield (
        f'<rect class="{kind}" x="{placed.x:.0f}" y="{placed.y:.0f}" width="{placed.width:.0f}"'
        f' height="{placed.height:.0f}" rx="4"/>'
    )
    y = placed.y + PAD + 11
    yield f'<text class="title" x="{placed.x + PAD:.0f}" y="{y:.0f}">{escape(_title(placed.box))}</text>'
    for line in placed.lines:
        y += LINE
        yield f'<text class="about" x="{placed.x + PAD:.0f}" y="{y:.0f}">{escape(line)}</text>'
    for inner in placed.inside:
        yield from _drawn(inner)


def _named(placed: Placed) -> Iterator[tuple[str, Placed]]:
    yield placed.box.name, placed
    for inner in placed.inside:
        yield from _named(inner)


def _arrows(diagram: Diagram, by_name: dict[str, Placed]) -> Iterator[str]:
    """Arrows between columns are direct, those within a column run along its right side. The legend explains their
    numbers."""
    edge = max(each.x + each.width for each in by_name.values())
    lane = 0
    for number, (source, target, _) in enumerate(diagram.arrows, 1):
        a, b = by_name[source], by_name[target]
        if a.x + a.width < b.x:
            yield from _across(a, b, number)
        else:
            lane += 1
            yield from _beside(a, b, edge + LANE * lane, number)


def _across(a: Placed, b: Placed, number: int) -> Iterator[str]:
    start, end = a.x + a.width, b.x
    y1, y2 = a.y + min(a.height, 34) / 2, b.y + min(b.height, 34) / 2
    middle = (start + end) / 2
    way = f"M{start:.0f} {y1:.0f} C{middle:.0f} {y1:.0f} {middle:.0f} {y2:.0f} {end:.0f} {y2:.0f}"
    yield f'<path d="{way}" marker-end="url(#tip)"/>'
    yield f'<text class="label" x="{start + 5:.0f}" y="{y1 - 5:.0f}">{number}</text>'


def _beside(a: Placed, b: Placed, x: float, number: int) -> Iterator[str]:
    """An arrow from the lower half of one box to the upper half of the other."""
    y1, y2 = a.y + a.height * 2 / 3, b.y + b.height / 3
    way = f"M{a.x + a.width:.0f} {y1:.0f} L{x:.0f} {y1:.0f} L{x:.0f} {y2:.0f} L{b.x + b.width:.0f} {y2:.0f}"
    yield f'<path d="{way}" marker-end="url(#tip)"/>'
    yield f'<text class="label" x="{x + 4:.0f}" y="{(y1 + y2) / 2:.0f}">{number}</text>'


def _legend(diagram: Diagram, by_name: dict[str, Placed]) -> Iterator[str]:
    for number, (source, target, label) in enumerate(diagram.arrows, 1):
        yield f"{number}  {by_name[source].box.title} to {by_name[target].box.title}: {label}"
