"""Draws lines as an SVG: series in, text out, without files, fonts or libraries for plots.

Each line ends at its name, so no legend has to be matched by color. The colors are those of Okabe and Ito, which people
with any color vision tell apart; lines also differ in the shape of their marks. The text has the color of the page. The
picture follows the reader's preference for light or dark and paints its own background, since a page may show it on
either. Screen readers get a title and a description.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from xml.etree import ElementTree as Xml

WIDTH, HEIGHT = 700, 400
LEFT, RIGHT, TOP, BOTTOM = 56, 470, 52, 350  # the box of the lines; names stand on its right
NAMES = RIGHT + 34  # where names begin
LINE = 18  # pixels from one name to the next, at least
SIZE = 3.6  # half the width of a mark

# (light, dark): Okabe and Ito, with gray for their yellow, which nobody sees on white.
COLORS = (
    ("#000000", "#ffffff"),
    ("#e69f00", "#e69f00"),
    ("#56b4e9", "#56b4e9"),
    ("#009e73", "#009e73"),
    ("#d55e00", "#d55e00"),
    ("#0072b2", "#3a9bdc"),  # brighter on black
    ("#cc79a7", "#cc79a7"),
    ("#8a8a8a", "#8a8a8a"),
)
SHAPES = (
    "M-1-1H1V1H-1Z",  # square
    "M0-1.3L1.2 1H-1.2Z",  # triangle
    "M0-1.4L1.4 0L0 1.4L-1.4 0Z",  # diamond
    "M-1 0A1 1 0 1 0 1 0A1 1 0 1 0-1 0Z",  # circle
    "M0 1.3L1.2-1H-1.2Z",  # triangle, upside down
)


@dataclass(frozen=True)
class Series:
    """A line. A point without a value interrupts it."""

    name: str
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True)
class Axis:
    """What an axis shows: its title, the values that it names, and the unit behind each."""

    title: str
    ticks: Sequence[float]
    log: bool = False
    unit: str = ""

    def across(self, values: Sequence[float]) -> Scale:
        """Return the scale that holds all ticks and these values."""
        way = math.log if self.log else float
        known = [way(value) for value in (*self.ticks, *values)]
        return Scale(min(known), max(known), self.log)


@dataclass(frozen=True)
class Scale:
    """From a value to its place, 0 to 1, between ``low`` and ``high``, which are logarithms with ``log``."""

    low: float
    high: float
    log: bool

    def __call__(self, value: float) -> float:
        return ((math.log(value) if self.log else value) - self.low) / ((self.high - self.low) or 1)


def spread(wanted: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """Return places for names, in the order of ``wanted``, that differ from it least: at least ``apart`` from each
    other, and between ``low`` and ``high`` if there is room for all. Names that would overlap make a block, which
    stands where its names want to be on average."""
    order = sorted(range(len(wanted)), key=lambda each: wanted[each])
    blocks: list[list[float]] = []  # where each name wants the first of all to stand
    for number, each in enumerate(order):
        blocks.append([wanted[each] - number * apart])
        while len(blocks) > 1 and fmean(blocks[-2]) >= fmean(blocks[-1]):
            joined = blocks.pop()
            blocks[-1] += joined
    last = high - (len(wanted) - 1) * apart
    firsts = [min(max(fmean(block), low), last) for block in blocks for _ in block]
    found = [0.0] * len(wanted)
    for number, (each, first) in enumerate(zip(order, firsts, strict=True)):
        found[each] = first + number * apart
    return found


def draw(title: str, description: str, series: Sequence[Series], x: Axis, y: Axis) -> str:
    """Return the SVG. The first of the series is drawn last, on top of the others, and thicker."""
    across = x.across([place for each in series for place, _ in each.points])
    up = y.across([value for each in series for _, value in each.points if value is not None])
    svg = Xml.Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=str(WIDTH),
        height=str(HEIGHT),
        role="img",
        attrib={"aria-labelledby": "title description"},
    )
    Xml.SubElement(svg, "title", id="title").text = title
    Xml.SubElement(svg, "desc", id="description").text = description
    Xml.SubElement(svg, "style").text = style(len(series))
    Xml.SubElement(svg, "rect", {"class": "page"}, width=str(WIDTH), height=str(HEIGHT))
    _text(svg, "heading", LEFT, 20, title)
    _text(svg, "axis", LEFT, TOP - 13, y.title)
    _text(svg, "axis middle", (LEFT + RIGHT) / 2, HEIGHT - 12, x.title)
    _grid(svg, x, y, across, up)
    places = [[_place(across, up, *point) for point in each.points] for each in series]
    ends = [next((place for place in reversed(line) if place), (RIGHT, BOTTOM)) for line in places]
    names = spread([end[1] for end in ends], LINE, TOP, BOTTOM)
    for number in reversed(range(len(series))):
        _line(svg, number, series[number].name, places[number], ends[number], names[number])
    Xml.indent(svg)
    return Xml.tostring(svg, encoding="unicode") + "\n"


def style(count: int) -> str:
    """Return the style sheet for so many series."""

    def colors(which: int) -> str:
        return " ".join(f".s{each} {{ color: {COLORS[each % len(COLORS)][which]}; }}" for each in range(count))

    return (
        "\n.page { fill: #ffffff; } text { fill: #1f2328; font: 13px system-ui, sans-serif; }"
        "\n.heading { font-weight: 600; font-size: 14px; } .axis { fill: #59636e; font-size: 12px; }"
        "\n.middle { text-anchor: middle; } .end { text-anchor: end; }"
        "\n.grid { stroke: #d1d9e0; } .lead { stroke: currentColor; stroke-dasharray: 1 3; }"
        "\n.line { fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linejoin: round; }"
        "\n.mark { fill: currentColor; } .s0 .line { stroke-width: 3; } .s0 text { font-weight: 600; }"
        f"\n{colors(0)}"
        "\n@media (prefers-color-scheme: dark) {"
        "\n.page { fill: #0d1117; } text { fill: #e6edf3; } .axis { fill: #9198a1; } .grid { stroke: #30363d; }"
        f"\n{colors(1)}\n}}\n"
    )


def _place(across: Scale, up: Scale, where: float, value: float | None) -> tuple[float, float] | None:
    if value is None:
        return None
    return LEFT + (RIGHT - LEFT) * across(where), BOTTOM - (BOTTOM - TOP) * up(value)


def _grid(svg: Xml.Element, x: Axis, y: Axis, across: Scale, up: Scale) -> None:
    for tick in y.ticks:
        _, level = _place(across, up, x.ticks[0], tick) or (0.0, 0.0)
        _rule(svg, "grid", (LEFT, level), (RIGHT, level))
        _text(svg, "axis end", LEFT - 7, level + 4, f"{tick:g}{y.unit}")
    for tick in x.ticks:
        column, _ = _place(across, up, tick, y.ticks[0]) or (0.0, 0.0)
        _rule(svg, "grid", (column, BOTTOM), (column, BOTTOM + 5))
        _text(svg, "axis middle", column, BOTTOM + 19, f"{tick:g}{x.unit}")


def _line(
    svg: Xml.Element,
    number: int,
    name: str,
    places: Sequence[tuple[float, float] | None],
    end: tuple[float, float],
    level: float,
) -> None:
    group = Xml.SubElement(svg, "g", {"class": f"s{number}"})
    for part in _unbroken(places):
        Xml.SubElement(group, "polyline", {"class": "line"}, points=" ".join(f"{x:.1f},{y:.1f}" for x, y in part))
        for place in part:
            _mark(group, number, place)
    _rule(group, "lead", (end[0] + 6, end[1]), (NAMES - 16, level))
    _mark(group, number, (NAMES - 9, level), "key")
    _text(group, "name", NAMES, level + 4, name)


def _unbroken(places: Sequence[tuple[float, float] | None]) -> Iterator[list[tuple[float, float]]]:
    part: list[tuple[float, float]] = []
    for place in (*places, None):
        if place is not None:
            part.append(place)
        elif part:
            yield part
            part = []


def _mark(parent: Xml.Element, number: int, place: tuple[float, float], kind: str = "") -> None:
    Xml.SubElement(
        parent,
        "path",
        {"class": f"mark {kind}".rstrip()},
        d=SHAPES[number % len(SHAPES)],
        transform=f"translate({place[0]:.1f} {place[1]:.1f}) scale({SIZE})",
    )


def _rule(parent: Xml.Element, kind: str, begin: tuple[float, float], end: tuple[float, float]) -> None:
    (x1, y1), (x2, y2) = begin, end
    Xml.SubElement(parent, "line", {"class": kind}, x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}")


def _text(parent: Xml.Element, kind: str, x: float, y: float, text: str) -> None:
    Xml.SubElement(parent, "text", {"class": kind}, x=f"{x:.1f}", y=f"{y:.1f}").text = text
