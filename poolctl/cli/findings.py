"""The last line below the findings."""

from __future__ import annotations

from poolctl.config.diagnostic import Invalid


def closing(file: str, invalid: Invalid) -> str:
    count = len(invalid.diagnostics)
    return f"{file}: {count} error{'' if count == 1 else 's'}"
