"""The steps between the stop and the end of the process, for async apps.

    the stop            TOLD       http.disconnect for open streams, and for requests that only wait for it
    half of the time    PRESSED    http.disconnect for every task that calls receive()
    the time            CANCELLED  tasks that are left are cancelled: ``finally`` runs, then the lifespan's shutdown
    timeouts.drain                 the process is killed

Each loop of async apps has one Stopping and asks it for the current step. A request that is answered meanwhile notices
nothing: only a call of receive() gets the disconnect.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context
from typing import Any

from poolctl.runtime.loop.draining import cancels_after
from poolctl.runtime.loop.loop import MAX_FAILED_TURNS
from poolctl.runtime.serving_async.task_start import answers
from poolctl.runtime.timeouts import Timeouts

log = logging.getLogger("poolctl")
SERVING, TOLD, PRESSED, CANCELLED = range(4)


class Stopping:
    """The current step of a loop's stop, which may take ``timeouts.drain``. ``changed`` is called with each step as it
    begins."""

    def __init__(self, timeouts: Timeouts, changed: Callable[[int], None]) -> None:
        self.step = SERVING
        self._timeouts = timeouts
        self._changed = changed

    def begin(self, events: asyncio.AbstractEventLoop, context: Context) -> None:
        """Begin the stop; only the first call has an effect."""
        if self.step != SERVING:
            return
        last = cancels_after(self._timeouts.drain)
        self._take(TOLD)
        events.call_later(last / 2, self._take, PRESSED, context=context)
        events.call_later(last, self._take, CANCELLED, context=context)

    def tells(self, *, streams: bool) -> bool:
        """Whether the calling task gets http.disconnect now. ``streams``: it sends a response without a known end."""
        if self.step == TOLD:
            return streams or answers(asyncio.current_task())
        return self.step > TOLD

    def _take(self, step: int) -> None:
        self.step = step
        self._changed(step)


def run_until(events: asyncio.AbstractEventLoop, over: asyncio.Future[Any]) -> None:
    """Run an event loop until ``over`` is done, and raise its exception if it has one. Anything else that ends the loop
    earlier is only logged.

    KeyboardInterrupt and SystemExit of any task or callback of the app end ``run_forever`` (asyncio.Handle._run), as
    does a call of ``loop.stop()``: none of them may end a worker. Nothing is lost; callbacks that were ready stay
    ready. Only a loop that can no longer run, because the app has closed it or its selector, ends its worker, with the
    exception that it raises.
    """

    waits = not over.done()

    def stop(_: object) -> None:
        if waits:  # otherwise this call is late, after an exception that ended the round
            events.stop()

    if waits:
        over.add_done_callback(stop)
    stumbles = 0
    while not over.done():
        ran: list[bool] = []
        try:
            events.call_soon(ran.append, True)
            events.run_forever()
        except BaseException:
            stumbles = 0 if ran else stumbles + 1
            if stumbles > MAX_FAILED_TURNS:
                raise
            log.exception("a task or callback of the app raised an exception that ends event loops; the loop goes on")
        else:
            if not over.done():
                log.error("the app stopped the event loop of its worker; the loop goes on")
    waits = False
    over.result()
