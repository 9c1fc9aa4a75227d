"""A Python function for each frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from poolctl.runtime.app import App, Surroundings
from poolctl.runtime.app.functions.target import load_function
from poolctl.runtime.protocol.frames import Frame
from poolctl.runtime.protocol.output import Output


def framed(answer: Any, request: Frame, target: str) -> bytes:
    """What to send for the answer of a function: a frame, or nothing for None.

    Raises TypeError when it is neither bytes nor None, ValueError when it is too large for the prefix.
    """
    if isinstance(answer, bytes):
        return request.protocol.frame(answer)
    if answer is None:
        return b""
    raise TypeError(f"{target} returned a {type(answer).__name__}; it may return bytes or None")


@dataclass
class FramesApp(App):
    """Calls ``target`` with each frame, as bytes without its prefix, and sends what it returns as a frame.

    b"" is an empty frame; None sends nothing.
    """

    protocol: ClassVar[str] = "frames"

    target: Annotated[str, Field(min_length=1, description="package.module:callable, called with a frame as bytes")]

    def load(self, surroundings: Surroundings) -> None:
        """Import the function."""
        self._function = load_function(self.target, "frames")

    def serve(self, request: Frame, out: Output) -> bool:
        """Answer one frame. Raises TypeError and ValueError for what cannot be sent as one."""
        sent = framed(self._function(request.data), request, self.target)
        if sent:
            out.send(sent)
        return True
