"""The exception for a strategy that breaks its contract."""

from __future__ import annotations


class Violation(AssertionError):
    """``what`` was broken, and the ``fix``; empty if there is no general one."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(f"{what}\nfix: {fix}" if fix else what)
        self.what = what
        self.fix = fix
