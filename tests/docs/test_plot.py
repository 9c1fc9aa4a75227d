"""A plot is well-formed, has each value at its place, and names its lines beside the box, one below the other."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench import plot  # the benchmarks are no part of the package
from bench.plot import Axis, Series

SVG = "{http://www.w3.org/2000/svg}"
X = Axis("load", (1, 2, 3))
Y = Axis("share", (0, 50, 100), unit=" %")
LOG = Axis("wait", (100, 1000), log=True)


def drawn(*series: Series, y: Axis = Y) -> Xml.Element:
    return Xml.fromstring(plot.draw("A title", "What it shows", series, X, y))


def of_class(svg: Xml.Element, tag: str, kind: str) -> list[Xml.Element]:
    return [each for each in svg.iter(f"{SVG}{tag}") if each.get("class") == kind]


def places(line: Xml.Element) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in line.attrib["points"].split())]


def test_a_line_has_each_value_at_its_place() -> None:
    (line,) = of_class(drawn(Series("a", [(1, 0), (2, 100), (3, 50)])), "polyline", "line")
    middle = ((plot.LEFT + plot.RIGHT) / 2, (plot.TOP + plot.BOTTOM) / 2)
    assert places(line) == [(plot.LEFT, plot.BOTTOM), (middle[0], plot.TOP), (plot.RIGHT, middle[1])]


def test_a_logarithmic_scale() -> None:
    (line,) = of_class(drawn(Series("a", [(1, 100), (2, 10**2.5), (3, 1000)]), y=LOG), "polyline", "line")
    assert [y for _, y in places(line)] == [plot.BOTTOM, (plot.TOP + plot.BOTTOM) / 2, plot.TOP]


def test_a_missing_value_interrupts_a_line() -> None:
    svg = drawn(Series("a", [(1, 10), (1.5, 20), (2, None), (3, 30)]), Series("b", [(1, None)]))
    assert [len(places(line)) for line in of_class(svg, "polyline", "line")] == [2, 1]
    assert len(of_class(svg, "path", "mark")) == 3
    assert {text.text for text in of_class(svg, "text", "name")} == {"a", "b"}


def test_a_value_beyond_the_ticks_stays_in_the_box() -> None:
    (line,) = of_class(drawn(Series("a", [(1, 120), (4, -5)])), "polyline", "line")
    assert places(line) == [(plot.LEFT, plot.TOP), (plot.RIGHT, plot.BOTTOM)]


@given(
    st.lists(
        st.lists(st.floats(0, 100) | st.none(), min_size=3, max_size=3),
        min_size=1,
        max_size=len(plot.COLORS),
    )
)
def test_any_values(values: list[list[float | None]]) -> None:
    series = [
        Series(f"<{number}> & more", list(zip((1, 2, 3), each, strict=True))) for number, each in enumerate(values)
    ]
    svg = drawn(*series)
    for number, each in enumerate(values):
        (group,) = of_class(svg, "g", f"s{number}")
        points = [place for line in of_class(group, "polyline", "line") for place in places(line)]
        assert len(points) == len(of_class(group, "path", "mark")) == sum(value is not None for value in each)
        assert all(plot.LEFT <= x <= plot.RIGHT and plot.TOP <= y <= plot.BOTTOM for x, y in points)
    names = of_class(svg, "text", "name")
    assert {text.text for text in names} == {each.name for each in series}
    assert all(float(text.attrib["x"]) > plot.RIGHT + plot.SIZE for text in names)
    levels = sorted(float(text.attrib["y"]) for text in names)
    assert all(after - before > plot.LINE - 0.2 for before, after in itertools.pairwise(levels))  # they are rounded
    assert plot.TOP <= levels[0] <= levels[-1] <= plot.BOTTOM + plot.LINE


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ([50, 10], [50, 10]),
        ([0, 0, 0], [0, 10, 20]),
        ([100, 100], [90, 100]),
        ([40, 46, 43], [33, 53, 43]),
        ([40, 46, 43, 64, 90], [33, 53, 43, 64, 90]),
    ],
)
def test_names_keep_apart(wanted: list[float], found: list[float]) -> None:
    assert plot.spread(wanted, 10, 0, 100) == found


def test_what_readers_prefer() -> None:
    svg = drawn(*(Series(str(number), [(1, number)]) for number in range(3)))
    style = svg.findtext(f"{SVG}style") or ""
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    for number in range(3):
        assert [re.search(rf"\.s{number} {{ color: (#\w+)", part)[1] for part in (light, dark)] == list(  # type: ignore[index]
            plot.COLORS[number]
        )
    assert (svg.findtext(f"{SVG}title"), svg.findtext(f"{SVG}desc")) == ("A title", "What it shows")
    ids = [each.get("id") for each in svg if each.get("id")]
    assert svg.attrib["aria-labelledby"].split() == ids
    assert svg.attrib["role"] == "img"


def test_ticks_are_named() -> None:
    texts = [each.text for each in drawn(Series("a", [(1, 1)])).iter(f"{SVG}text")]
    assert [text for text in texts if text and text[0].isdigit()] == ["0 %", "50 %", "100 %", "1", "2", "3"]
