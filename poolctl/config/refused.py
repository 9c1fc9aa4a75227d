"""A value that is not accepted, said by who reads it."""

from __future__ import annotations


class Refused(ValueError):
    """``mend``: what to write instead. A message that begins with "expected" is completed with what was given."""

    def __init__(self, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.mend = mend
