"""The event loop of a worker, as its connections ask it."""

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
        """Have a connection go on in the next round of the event loop."""

    def later(self) -> None:
        """A connection has closed outside of a turn: the drain may be over."""

    def mute(self, handler: AnyHandler) -> None:
        """No more events for this handler, which the loop still has: a drain waits for it."""

    def linger(self, sock: socket.socket) -> None:
        """All is said, and our direction closed: let the client read it, then close."""
