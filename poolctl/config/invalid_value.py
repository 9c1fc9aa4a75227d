"""The exception for a value that is not accepted, raised where it is read."""

from __future__ import annotations


class InvalidValue(ValueError):
    """A value that is not accepted. ``help`` says what to write instead.

    The given value is appended to a message that begins with "expected".
    """

    def __init__(self, message: str, help: str = "") -> None:  # noqa: A002  # the name of the finding's field
        super().__init__(message)
        self.help = help
