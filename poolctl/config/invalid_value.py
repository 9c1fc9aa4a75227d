"""A value that is not accepted, raised where it is read."""

from __future__ import annotations


class InvalidValue(ValueError):
    """``help``: what to write instead. A message that begins with "expected" is completed with what was given."""

    def __init__(self, message: str, help: str = "") -> None:  # noqa: A002  # as the field of a finding is called
        super().__init__(message)
        self.help = help
