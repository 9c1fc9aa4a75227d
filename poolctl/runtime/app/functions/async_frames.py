"""An ``async def`` function for each frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from poolctl.runtime.app.functions.async_function import MessageApp
from poolctl.runtime.app.functions.frames import framed
from poolctl.runtime.protocol.frames import Frame


@dataclass
class AsyncFrames(MessageApp):
    """Awaits ``target`` with each frame; otherwise as ``frames``."""

    protocol: ClassVar[str] = "frames"
    word: ClassVar[str] = "async-frames"

    async def answer(self, request: Frame) -> bytes:
        """Answer one frame. Raises TypeError and ValueError for what cannot be sent as one."""
        return framed(await self._function(request.data), request, self.target)
