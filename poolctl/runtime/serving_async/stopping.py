"""The steps between "please leave" and the end of the process, for apps that are awaited.

    the stop            TOLD       http.disconnect for open streams, and for requests that only wait for it
    half of the time    PRESSED    http.disconnect for whoever calls receive()
    the time            CANCELLED  what is left is cancelled: ``finally`` runs, then the lifespan's shutdown
    timeouts.drain                 the process is killed

Each loop of asynchronous apps has one of these, and asks it where it stands. A request that is answered in the meantime
notices nothing: it is told only if it asks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context
from typing import Any

from poolctl.runtime.loop.draining import cancels_after
from poolctl.runtime.loop.loop import STUMBLES
from poolctl.runtime.serving_async.task_start import answers

log = logging.getLogger("poolctl")
SERVING, TOLD, PRESSED, CANCELLED = range(4)


class Stopping:
    """Where the loop stands. ``changed`` is called at each step."""

    def __init__(self, drain: float, changed: Callable[[int], None]) -> None:
        self.step = SERVING
        self._drain = drain
        self._changed = changed

    def begin(self, events: asyncio.AbstractEventLoop, context: Context) -> None:
        """The stop has come; only the first call counts."""
        if self.step != SERVING:
            return
        last = cancels_after(self._drain)
        self._take(TOLD)
        events.call_later(last / 2, self._take, PRESSED, context=context)
        events.call_later(last, self._take, CANCELLED, context=context)

    def tells(self, *, streams: bool) -> bool:
        """Whether the calling task gets its notice now. ``streams``: it sends a response whose end is unknown."""
        if self.step == TOLD:
            return streams or answers(asyncio.current_task())
        return self.step > TOLD

    def _take(self, step: int) -> None:
        self.step = step
        self._changed(step)


def run_until(events: asyncio.AbstractEventLoop, over: asyncio.Future[Any]) -> None:
    """Run an event loop until this is done, and raise what it has; whatever ends the loop before is only logged.

    KeyboardInterrupt and SystemExit of any task or callback of the app end ``run_forever`` (asyncio.Handle._run), as
    does a call of ``loop.stop()``: none of them may end a worker. Nothing is lost, what was ready stays ready. Only a
    loop that cannot run any more, for the app has closed it or what it waits with, ends its worker, by what it raises.
    """

    waits = not over.done()

    def stop(_: object) -> None:
        if waits:  # or else this comes late, behind an exception that ended the round
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
            if stumbles > STUMBLES:
                raise
            log.exception("a task or callback of the app raised what ends an event loop; it goes on")
        else:
            if not over.done():
                log.error("the app stopped the event loop of its worker; it goes on")
    waits = False
    over.result()
