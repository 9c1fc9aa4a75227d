"""A diagram as JSON. The second number of ``format_version`` grows when keys are added."""

from __future__ import annotations

import json
from typing import Any

from poolctl.description.diagram import Box, Diagram

FORMAT_VERSION = "1.0"


def draw(diagram: Diagram) -> str:
    """Return one JSON object, in which boxes are nested."""
    data = {
        "format_version": FORMAT_VERSION,
        "name": diagram.name,
        "summary": diagram.summary,
        "clients": _box(diagram.clients),
        "listeners": [_box(listener) for listener in diagram.listeners],
        "processes": _box(diagram.processes),
        "arrows": [arrow._asdict() for arrow in diagram.arrows],
        "steps": list(diagram.steps),
        "choices": [choice._asdict() for choice in diagram.choices],
        "designs": list(diagram.designs),
    }
    return json.dumps(data, indent=2) + "\n"


def _box(box: Box) -> dict[str, Any]:
    return box._asdict() | {"inside": [_box(inner) for inner in box.inside]}
