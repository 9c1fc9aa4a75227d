"""What a strategy did that none may do."""

from __future__ import annotations


class Violation(AssertionError):
    """``what`` was broken, and the ``mend``."""

    def __init__(self, what: str, mend: str = "") -> None:
        super().__init__(f"{what}\nfix: {mend}" if mend else what)
        self.what = what
        self.mend = mend
