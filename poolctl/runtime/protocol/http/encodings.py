"""Which content codings a client accepts (RFC 9110, 12.5.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WEIGHT = re.compile(r"q=(0(\.\d{0,3})?|1(\.0{0,3})?)", re.IGNORECASE | re.ASCII)


def accepted(field: str, offered: Sequence[str]) -> list[str]:
    """Return the codings of ``offered`` that an Accept-Encoding field accepts, most preferred first, and equal ones in
    the order of ``offered``. A coding with a malformed weight is not accepted."""
    weights: dict[str, float] = {}
    for word in field.split(","):
        coding, *parameters = (part.strip().lower() for part in word.split(";"))
        if coding:
            weights["gzip" if coding == "x-gzip" else coding] = _weight(parameters)
    any_other = weights.get("*", 0.0)
    acceptable = [coding for coding in offered if weights.get(coding, any_other) > 0]
    return sorted(acceptable, key=lambda coding: -weights.get(coding, any_other))


def _weight(parameters: list[str]) -> float:
    if not parameters:
        return 1.0
    found = _WEIGHT.fullmatch(parameters[0]) if len(parameters) == 1 else None
    return float(found[1]) if found else 0.0
