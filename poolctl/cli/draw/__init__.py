"""A picture drawn: a file for each word of ``--format`` of `poolctl explain`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from poolctl.description.diagram import Picture

Draw = Callable[[Picture], str]


def draw(form: str) -> Draw:
    """The function that draws in a format."""
    found: Draw = import_module(f"poolctl.cli.draw.{form}").draw
    return found
