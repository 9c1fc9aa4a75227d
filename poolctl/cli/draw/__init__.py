"""Renders a diagram: one file for each value of ``--format`` of `poolctl explain`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from poolctl.description.diagram import Diagram

Draw = Callable[[Diagram], str]


def draw(form: str) -> Draw:
    """Return the function that renders a diagram in this format."""
    found: Draw = import_module(f"poolctl.cli.draw.{form}").draw
    return found
