"""The link of a role with the mold that forked it: an end of file means stop, and follows from the mold's death too.

    mold  holds the write end of one pipe for each stage of roles, and of one for each worker
    role  holds the read end; nothing is ever written, so the only event is the end of file

A byte in its own pipe tells a worker that it leaves while the others go on. So it takes nothing that others can take,
finishes what it has, and passes idle connections on. An end of file without a byte is the death of the mold: then the
lifeline ends too, all workers leave, and nobody else would take what they share.

The loops register the read end in their poller. But a worker may be stuck in the user's code when the end comes, so
that no loop runs, and a dead mold cannot end it. So in each role that runs user code one thread waits for the end of
file too, and ends the process when the time to drain is over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from os import _exit
from select import POLLIN, poll
from time import sleep

from poolctl.runtime.system import forked, threads

log = logging.getLogger("poolctl")

LEAVE_SECONDS = 0.02  # seconds between two calls for a worker that is to leave


@dataclass(frozen=True)
class Life:
    """What a role gets when it starts."""

    lifeline: int  # descriptor; readable, with the end of file, when it is time to drain and exit
    drain: float  # seconds from that end of file to the end of the process, whatever is still in flight
    ready: Callable[[], None]  # to be called once, when the role can serve
    stop: int = -1  # descriptor; readable when the stop begins: workers behind a front drain after the front has exited
    leave: int = -1  # descriptor; says when this worker is to leave while the others go on: `told_to_leave`
    place: int = -1  # the number of the worker whose place in a reuse-port group this one takes
    _leavers: list[Callable[[], None]] = field(default_factory=list, repr=False, compare=False)

    def thread(self, work: Callable[[], None], name: str) -> threads.Started:
        """Start a thread of the role. If it raises, the process exits and the mold starts another one, so that a pool
        never shrinks unseen. Returns the thread."""

        def run() -> None:
            try:
                work()
            except BaseException:
                forked.leave()
                log.exception("a thread of the role failed: exiting, to be replaced")
                _exit(1)

        return threads.start(run, name, daemon=False)

    def when_leaving(self, call: Callable[[], None]) -> None:
        """Have this called while the worker is to leave, again and again until it has left, in the thread that
        `enforce` starts: for one that waits where no loop watches ``leave``. It must not wait: the thread watches the
        lifeline too."""
        self._leavers.append(call)

    def enforce(self) -> None:
        """Exit when draining takes too long, even if every loop of this process is stuck. Called before the app is
        imported, because the import itself may never end."""
        threads.watch(self._leave_in_time, "lifeline")

    def _leave_in_time(self) -> None:
        ended = poll()
        for descriptor in {self.lifeline, self.leave} - {-1}:
            ended.register(descriptor, POLLIN)
        # not read(): an event loop that watches the pipe makes it non-blocking for every process
        patience, said = None, ""
        while self.lifeline not in {descriptor for descriptor, _ in ended.poll(patience)}:
            if patience is None:
                ended.unregister(self.leave)
                if not told_to_leave(self.leave):
                    continue
                patience = LEAVE_SECONDS * 1000
            for call in list(self._leavers):
                try:
                    call()
                except OSError as error:  # out of file descriptors, which may be over at the next call
                    if said != str(error):
                        said = str(error)
                        log.error("cannot leave yet: %s", error)
        sleep(self.drain)
        log.warning("still busy %g s after the stop: exiting with unfinished work", self.drain)
        _exit(1)


def told_to_leave(descriptor: int) -> bool:
    """Return whether a worker is to leave while the others go on. Called when there is an event of ``Life.leave``,
    which may also be that the mold has died. Takes nothing out of the pipe, at which several look."""
    poller = poll()
    poller.register(descriptor, POLLIN)
    return any(event & POLLIN for _, event in poller.poll(0))
