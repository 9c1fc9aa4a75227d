"""Apps that are an ``async def`` function, awaited with each frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from poolctl.runtime.app.functions.async_function import MessageApp
from poolctl.runtime.app.functions.frames import framed
from poolctl.runtime.protocol.frames import Frame


@dataclass
class AsyncFrames(MessageApp):
    """Awaits ``target`` with each frame; frames and return values are those of ``frames``."""

    protocol: ClassVar[str] = "frames"
    word: ClassVar[str] = "async-frames"

    async def answer(self, request: Frame) -> bytes:
        """Await the function with one frame. Return the bytes to send. Raises TypeError if its result is neither bytes
        nor None, ValueError if it is too large for a frame."""
        return framed(await self._function(request.data), request, self.target)
