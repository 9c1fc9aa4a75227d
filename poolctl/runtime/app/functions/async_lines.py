"""Apps that are an ``async def`` function, awaited with each line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from poolctl.runtime.app.functions.async_function import MessageApp
from poolctl.runtime.app.functions.lines import line_of


@dataclass
class AsyncLines(MessageApp):
    """Awaits ``target`` with each line; lines and return values are those of ``lines``."""

    protocol: ClassVar[str] = "lines"
    word: ClassVar[str] = "async-lines"

    async def answer(self, request: bytes) -> bytes:
        """Await the function with one line. Return the bytes to send. Raises TypeError if its result is not bytes, str
        or None."""
        return line_of(await self._function(request), self.target)
