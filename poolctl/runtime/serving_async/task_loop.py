"""What connections need of the event loop of a worker."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol

from poolctl.runtime.app.awaited import AppLife
from poolctl.runtime.loop.source import AnyHandler, Handler
from poolctl.runtime.serving.connection import ServedLoop
from poolctl.runtime.serving.service import Service
from poolctl.runtime.serving_async.boundary import AppHost
from poolctl.runtime.serving_async.task_start import TaskStart


class TaskLoop(ServedLoop, AppHost, Protocol):
    """``lifespan``: how the app started; ``start``: begins a task, in a context of its own."""

    events: asyncio.AbstractEventLoop
    lifespan: AppLife
    start: TaskStart
    handlers: dict[int, Handler[Service]]  # connections take each other's place here

    def soon(self, handler: Handler[Service], call: Callable[[], None]) -> None:
        """Call a method of a connection in the next round of the event loop."""

    def later(self) -> None:
        """A connection has closed outside of a turn: check whether the drain is over."""

    def mute(self, handler: AnyHandler) -> None:
        """Stop watching the descriptor of this handler, but keep the handler: a drain waits for it."""

    def linger(self, sock: socket.socket) -> None:
        """Give a client time to read after our direction was shut down, then close."""
