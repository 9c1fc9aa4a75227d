"""Apps that are a Python function, called with each frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from poolctl.runtime.app import App, Surroundings
from poolctl.runtime.app.functions.target import load_function
from poolctl.runtime.protocol.frames import Frame
from poolctl.runtime.protocol.output import Output


def framed(answer: Any, request: Frame, target: str) -> bytes:
    """Return the frame to send for the result of a function, or b"" for None.

    Raises TypeError if the result is neither bytes nor None, ValueError if it is too large for the prefix.
    """
    if isinstance(answer, bytes):
        return request.protocol.frame(answer)
    if answer is None:
        return b""
    raise TypeError(f"{target} returned a {type(answer).__name__}; it may return bytes or None")


@dataclass
class FramesApp(App):
    """Calls ``target`` with each frame, as bytes without the prefix, and sends the result as a frame.

    A result of b"" sends an empty frame, None sends nothing.
    """

    protocol: ClassVar[str] = "frames"

    target: Annotated[str, Field(min_length=1, description="package.module:callable, called with a frame as bytes")]

    def load(self, surroundings: Surroundings) -> None:
        """Import the function. Raises AppError."""
        self._function = load_function(self.target, "frames")

    def serve(self, request: Frame, out: Output) -> bool:
        """Answer one frame. Return True: the connection may be kept. Raises TypeError if the result of the function is
        neither bytes nor None, ValueError if it is too large for a frame."""
        sent = framed(self._function(request.data), request, self.target)
        if sent:
            out.send(sent)
        return True
