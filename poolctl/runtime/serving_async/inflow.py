"""Waiting for the body of a request in an event loop."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future

from poolctl.runtime.protocol.http.inflow import Inflow


async def news_of(inflow: Inflow, events: AbstractEventLoop) -> None:
    """Wait until there are bytes to take, or no more will come."""
    while not (inflow.size or inflow.done or inflow.failed):
        waiter: Future[None] = events.create_future()

        def wake(waiter: Future[None] = waiter) -> None:
            if not waiter.done():
                waiter.set_result(None)

        inflow.changed = wake
        try:
            await waiter
        finally:
            inflow.changed = None
