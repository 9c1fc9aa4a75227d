"""The base of the apps whose target is an ``async def`` function."""

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
    """The life of a function in its event loop: it has no startup and no shutdown."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self.context = copy_context()

    async def startup(self) -> None:
        """Do nothing: a function has no startup."""

    async def shutdown(self) -> None:
        """Do nothing: a function has no shutdown."""


@dataclass
class AsyncFunction(AsyncApp):
    """Awaits ``target`` in the event loop of its worker."""

    word: ClassVar[str]  # the word of the app

    target: Annotated[str, Field(min_length=1, description="package.module:function, defined with async def")]

    def load(self, surroundings: Surroundings) -> None:
        """Import the function. Raises AppError, also if it is not an async function."""
        self._function: Callable[..., Awaitable[Any]] = load_async_function(self.target, self.word)

    def life(self, events: AbstractEventLoop) -> NoLifespan:
        """Return a life without startup and shutdown."""
        return NoLifespan()

    def serve(self, request: Any, out: Output) -> bool:
        """Raise TypeError: this app is asynchronous."""
        raise TypeError(f"the app {self.word} is asynchronous; await answer or converse")


class MessageApp(AsyncFunction):
    """Awaits the function for each message."""

    @abstractmethod
    async def answer(self, request: Any) -> bytes:
        """Return what to send for one request of the protocol, possibly nothing. Exceptions of the user's code pass
        through."""
