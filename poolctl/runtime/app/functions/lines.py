"""Apps that are a Python function, called with each line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from poolctl.runtime.app import App, Surroundings
from poolctl.runtime.app.functions.target import load_function
from poolctl.runtime.protocol.output import Output


def line_of(answer: Any, target: str) -> bytes:
    """Return the line to send for the result of a function, or b"" for None.

    Raises TypeError if the result is not bytes, str or None.
    """
    if answer is None:
        return b""
    line = answer.encode() if isinstance(answer, str) else answer
    if not isinstance(line, bytes):
        raise TypeError(f"{target} returned a {type(answer).__name__}; it may return bytes, str or None")
    return line if line.endswith(b"\n") else line + b"\n"


@dataclass
class LinesApp(App):
    """Calls ``target`` with each line, as bytes without the line end, and sends the result.

    The result is bytes or str (sent as UTF-8), with a line end added if it lacks one; None sends nothing.
    """

    protocol: ClassVar[str] = "lines"

    target: Annotated[str, Field(min_length=1, description="package.module:callable, called with a line as bytes")]

    def load(self, surroundings: Surroundings) -> None:
        """Import the function. Raises AppError."""
        self._function = load_function(self.target, "lines")

    def serve(self, request: bytes, out: Output) -> bool:
        """Answer one line. Return True: the connection may be kept. Raises TypeError if the result of the function is
        not bytes, str or None."""
        sent = line_of(self._function(request), self.target)
        if sent:
            out.send(sent)
        return True
