"""An ``async def`` function for each line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from poolctl.runtime.app.functions.async_function import MessageApp
from poolctl.runtime.app.functions.lines import line_of


@dataclass
class AsyncLines(MessageApp):
    """Awaits ``target`` with each line; otherwise as ``lines``."""

    protocol: ClassVar[str] = "lines"
    word: ClassVar[str] = "async-lines"

    async def answer(self, request: bytes) -> bytes:
        """Answer one line. Raises TypeError when the function returns neither bytes, str nor None."""
        return line_of(await self._function(request), self.target)
