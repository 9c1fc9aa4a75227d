"""What the apps whose target is an ``async def`` function have in common."""

from __future__ import annotations

from abc import abstractmethod
from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from poolctl.runtime.app import AsyncApp, Surroundings
from poolctl.runtime.app.functions.target import load_async_function
from poolctl.runtime.protocol.output import Output


class NoLifespan:
    """A function is not asked about the start and the end of its event loop."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self.context = copy_context()

    async def startup(self) -> None:
        """Nothing to start."""

    async def shutdown(self) -> None:
        """Nothing to end."""


@dataclass
class AsyncFunction(AsyncApp):
    """Awaits ``target`` in the event loop of its worker."""

    word: ClassVar[str]  # that of the app

    target: Annotated[str, Field(min_length=1, description="package.module:function, which is an async def")]

    def load(self, surroundings: Surroundings) -> None:
        """Import the function. Raises AppError also where it is no async function."""
        self._function: Callable[..., Awaitable[Any]] = load_async_function(self.target, self.word)

    def life(self, events: AbstractEventLoop) -> NoLifespan:
        """Functions have none."""
        return NoLifespan()

    def serve(self, request: Any, out: Output) -> bool:
        """Raises TypeError: this app is awaited."""
        raise TypeError(f"an app {self.word} is asynchronous; await answer or converse")


class MessageApp(AsyncFunction):
    """Awaits the function for each message."""

    @abstractmethod
    async def answer(self, request: Any) -> bytes:
        """What to send for one request of its protocol; may be nothing. What the user's code raises passes through."""
