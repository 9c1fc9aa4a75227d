"""A role's link with the mold that forked it: stop is an end of file, and so is the mold's death.

    mold  holds the write end of one pipe for each stage of roles
    role  holds the read end; nothing is ever written, so the only event is the end of file

The loops register the read end in their poller. A worker may be stuck in the user's code when the end comes, with no
loop that could look, and with the mold dead nobody would end it: so one thread of each role that runs user code waits
for the end too, and ends the process when the time to drain is over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from os import _exit
from select import POLLIN, poll
from time import sleep

from poolctl.runtime.system import forked, threads

log = logging.getLogger("poolctl")


@dataclass(frozen=True)
class Life:
    """What a role is given when it starts."""

    lifeline: int  # descriptor; readable, with the end of file, when it is time to drain and leave
    drain: float  # seconds from that end to the end of the process, whatever is still in hand
    ready: Callable[[], None]  # to be called once, when the role can serve
    stop: int = -1  # descriptor; the same for the beginning of the stop: workers behind a front drain when it has left

    def thread(self, work: Callable[[], None], name: str) -> threads.Started:
        """Start a thread of the role. If it fails the process ends, and the mold starts another one: a pool must not
        shrink unseen."""

        def run() -> None:
            try:
                work()
            except BaseException:
                forked.leave()
                log.exception("a thread of the role failed: its process ends, to be replaced")
                _exit(1)

        return threads.start(run, name, daemon=False)

    def enforce(self) -> None:
        """Leave by force when draining takes too long, even if every loop of this process is stuck. Called before the
        app is imported, which may be what does not come to an end."""
        threads.watch(self._leave_in_time, "lifeline")

    def _leave_in_time(self) -> None:
        ended = poll()
        ended.register(self.lifeline, POLLIN)
        ended.poll()  # not a read: an event loop that watches the pipe makes it non-blocking for all who have it
        sleep(self.drain)
        log.warning("still busy %g s after the stop: leaving unfinished work", self.drain)
        _exit(1)
