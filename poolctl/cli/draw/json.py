"""A picture as data. ``format_version`` grows by its second number when keys are added."""

from __future__ import annotations

import json
from typing import Any

from poolctl.description.diagram import Box, Picture

FORMAT_VERSION = "1.0"


def draw(picture: Picture) -> str:
    """One object: boxes by name, with those inside them."""
    data = {
        "format_version": FORMAT_VERSION,
        "name": picture.name,
        "summary": picture.summary,
        "clients": _box(picture.clients),
        "listeners": [_box(listener) for listener in picture.listeners],
        "processes": _box(picture.processes),
        "arrows": [arrow._asdict() for arrow in picture.arrows],
        "steps": list(picture.steps),
        "choices": [choice._asdict() for choice in picture.choices],
        "designs": list(picture.designs),
    }
    return json.dumps(data, indent=2) + "\n"


def _box(box: Box) -> dict[str, Any]:
    return box._asdict() | {"inside": [_box(inner) for inner in box.inside]}
