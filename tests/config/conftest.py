from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from poolctl.config.diagnostic import Diagnostic, Invalid
from poolctl.config.load import load

Findings = Callable[..., list[Diagnostic]]


@pytest.fixture
def findings(tmp_path: Path) -> Findings:
    """The findings about a text."""

    def of(text: str | bytes, sets: list[str] | None = None, listen: list[str] | None = None) -> list[Diagnostic]:
        file = tmp_path / "shop.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(Invalid) as caught:
            load(str(file), sets or [], listen or [])
        return caught.value.diagnostics

    return of
